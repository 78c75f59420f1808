//! The program as its callers meet it: words that are wrong, programs that misbehave, privileges that are missing.
//! Each has its own message and exit code, and none of it changes what stands.

mod lock_file;
mod locks;
mod output;
mod privileges;
mod programs;
mod support;
mod words;
