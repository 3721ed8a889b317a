#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| replog_fuzz::fuzzed::tokens::run(bytes));
