//! A program that has run to its end.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// No program that a test runs may take longer.
const LIMIT: Duration = Duration::from_secs(30);

/// What a program left behind.
#[derive(Clone, Debug)]
pub struct Done {
    /// The exit code, unless a signal ended the program.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// All it wrote to standard output.
    pub stdout: String,
    /// All it wrote to standard error.
    pub stderr: String,
    /// How long it ran, to the millisecond.
    pub took: Duration,
    /// What was run, for messages.
    command: String,
}

impl Done {
    /// Runs `command` without input until it ends.
    ///
    /// # Panics
    /// When it cannot be started, and when it runs longer than 30 s: it is killed then, with its children.
    #[track_caller]
    pub fn of(command: &mut Command) -> Self {
        Self::within(LIMIT, command)
    }

    #[track_caller]
    fn within(limit: Duration, command: &mut Command) -> Self {
        // Files rather than pipes: a child left in the background cannot hold up the end of a file.
        let mut stdout = tempfile::tempfile().expect("a temporary file");
        let mut stderr = tempfile::tempfile().expect("a temporary file");
        let line = format!("{command:?}");
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().expect("a second handle"))
            .stderr(stderr.try_clone().expect("a second handle"))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        let status = wait(&mut child, started + limit);
        let done = Self {
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            stdout: text(&mut stdout).expect("what was written can be read"),
            stderr: text(&mut stderr).expect("what was written can be read"),
            took: started.elapsed(),
            command: line,
        };
        assert!(status.is_some(), "still running after {limit:?}: {done}");
        done
    }

    /// Passes the result on when the program ended with exit code `code`.
    ///
    /// # Panics
    /// With the whole output when it did not.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit code {code}: {self}");
        self
    }

    /// Standard output, parsed.
    ///
    /// # Panics
    /// With the whole output when it is not one JSON value.
    #[track_caller]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not the expected JSON, {error}: {self}"))
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            code,
            signal,
            stdout,
            stderr,
            took,
            command,
        } = self;
        write!(
            f,
            "{command}\ncode {code:?}, signal {signal:?}, after {took:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

/// Waits for `child`, and kills its process group at the deadline; `None` is the latter.
fn wait(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().expect("our own child can be waited for") {
            return Some(status);
        }
        if Instant::now() > deadline {
            let group = i32::try_from(child.id()).expect("a pid is positive");
            // ESRCH only: it ended in this very moment.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            child.wait().expect("our own child can be waited for");
            return None;
        }
        sleep(Duration::from_millis(1));
    }
}

fn text(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bash(script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn an_exit_code_a_signal_and_both_outputs_are_told_apart() {
        let done = Done::of(&mut bash("echo out; echo err >&2; exit 3")).expect_code(3);
        assert_eq!(
            (done.stdout.as_str(), done.stderr.as_str(), done.signal),
            ("out\n", "err\n", None)
        );
        let done = Done::of(&mut bash("kill -9 $$"));
        assert_eq!((done.code, done.signal), (None, Some(9)));
    }

    #[test]
    fn a_child_left_in_the_background_holds_nothing_up() {
        let done = Done::of(&mut bash("sleep 2 & echo $!"));
        assert!(done.took < Duration::from_secs(1), "{done}");
        assert!(!done.stdout.is_empty());
    }

    #[test]
    #[should_panic(expected = "still running after 50ms")]
    fn a_program_that_hangs_fails_the_test() {
        Done::within(Duration::from_millis(50), &mut bash("sleep 20; true"));
    }

    #[test]
    #[should_panic(expected = "expected exit code 0")]
    fn another_exit_code_fails_the_test() {
        Done::of(&mut bash("exit 1")).expect_code(0);
    }
}
