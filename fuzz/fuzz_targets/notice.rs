#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| signalr_rekey_fuzz::notice(data));
