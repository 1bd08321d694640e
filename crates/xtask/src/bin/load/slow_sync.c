/* Loaded before libc, it lets each sync return 2 ms later: a disk that is slower than this machine's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static int later(int result) {
    struct timespec wait = {0, 2000000};
    nanosleep(&wait, 0);
    return result;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return later(real(fd));
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return later(real(fd));
}
