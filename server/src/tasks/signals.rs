//! Signals of the operating system that end the program.

/// The signals that ask the process to end: SIGTERM and SIGINT on Unix, Ctrl-C elsewhere.
pub struct EndSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl EndSignals {
    /// From here on no such signal ends the process by itself: it waits for [`EndSignals::asked`].
    ///
    /// # Errors
    /// The signals cannot be listened to.
    #[cfg(unix)]
    pub fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// See above; here listening begins with the first wait.
    ///
    /// # Errors
    /// Never.
    #[cfg(not(unix))]
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// Completes when the process was asked to end, with the name of the signal.
    pub async fn asked(self) -> &'static str {
        #[cfg(unix)]
        {
            let Self { mut terminate, mut interrupt } = self;
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        }
        #[cfg(not(unix))]
        {
            // When Ctrl-C cannot be listened to, ending is the safe reading.
            let _ = tokio::signal::ctrl_c().await;
            "Ctrl-C"
        }
    }
}
