//! Clients that run in the background of a test.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use crate::namespace::await_line;
use crate::{Counts, Outcome};

/// A client that tries to get through without a pause, until it is stopped.
#[derive(Debug)]
pub struct Hammer(Client);

impl Hammer {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(Client::start(command, "started"))
    }

    /// Stops it and tells what came of it.
    ///
    /// # Panics
    /// When it ended by itself with an error.
    #[track_caller]
    pub fn stop(self) -> Counts {
        self.0.finish()
    }
}

/// A TCP connection that is open and has not been used yet.
#[derive(Debug)]
pub struct Hold(Client);

impl Hold {
    #[track_caller]
    pub(crate) fn open(command: &mut Command) -> Self {
        Self(Client::start(command, "open"))
    }

    /// Sends a request over the connection, and tells whether an answer came back within 500 ms.
    ///
    /// # Panics
    /// When the client ended by itself with an error.
    #[track_caller]
    pub fn ask(self) -> Outcome {
        self.0.finish()
    }
}

/// Somebody who takes whatever comes, as long as this value lives.
#[derive(Debug)]
pub struct Sink(#[expect(dead_code, reason = "ends with its input")] Client);

impl Sink {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(Client::start(command, "ready"))
    }
}

/// A process of the `lab` program that says one word when it is at work, goes on until its input ends, and
/// reports then.
#[derive(Debug)]
struct Client(Child);

impl Client {
    #[track_caller]
    fn start(command: &mut Command, word: &str) -> Self {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let mut client = Self(child);
        await_line("a client", &mut client.0, word);
        client
    }

    #[track_caller]
    fn finish<T: serde::de::DeserializeOwned>(mut self) -> T {
        if let Some(mut input) = self.0.stdin.take() {
            // It may have ended already; its report says so or is missing.
            let _ = input.write_all(b"\n");
        }
        let (mut report, mut errors) = (String::new(), String::new());
        if let Some(stdout) = &mut self.0.stdout {
            stdout
                .read_to_string(&mut report)
                .expect("a report is text");
        }
        if let Some(stderr) = &mut self.0.stderr {
            stderr
                .read_to_string(&mut errors)
                .expect("an error message is text");
        }
        serde_json::from_str(&report).unwrap_or_else(|error| {
            panic!("a client of the lab reported {report:?}, {error}: {errors}")
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
