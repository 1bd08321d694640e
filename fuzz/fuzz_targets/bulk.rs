//! Feeds `keyward_fuzz::bulk`, which says what must hold.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| keyward_fuzz::bulk::check(bytes));
