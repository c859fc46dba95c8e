//! `.dockerignore`.
#![no_main]

use shipkit_core::plan::dockerignore::{Ignore, Walk};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (path, patterns) = text.split_once('\n').unwrap_or_default();
    let Ok(ignore) = Ignore::read(patterns) else { return };
    let of_folder = ignore.may_bring_back_below(path);
    std::hint::black_box((ignore.ignores(path), of_folder, Walk::new(&ignore).ignores(path)));
});
