//! The command line: wrong arguments, failing programs, missing privileges. Each case has its own message and exit code,
//! and leaves the installed rules unchanged.

mod lock_file;
mod locks;
mod output;
mod privileges;
mod programs;
mod support;
mod words;
