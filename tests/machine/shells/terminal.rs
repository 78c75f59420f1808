//! A shell on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};

/// How long something that is expected may take. The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the shell prints nothing before it counts as ready for the next key.
const QUIET: Duration = Duration::from_millis(250);

/// A shell, and what it has printed since the last time that was forgotten.
pub(crate) struct Terminal {
    shell: Child,
    keys: File,
    printed: Receiver<Vec<u8>>,
    screen: Vec<u8>,
}

impl Terminal {
    /// Starts the shell in the directory, with nothing of the caller's configuration.
    #[track_caller]
    pub(crate) fn start(shell: &[&str], directory: &Path) -> Self {
        let size = Winsize {
            ws_row: 60,
            ws_col: 200,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).expect("a terminal");
        let shells_side = || {
            Stdio::from(
                pty.slave
                    .try_clone()
                    .expect("the shell's side of the terminal"),
            )
        };
        // setsid makes the terminal the controlling one.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .args(shell)
            .current_dir(directory)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", directory)
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm")
            .stdin(shells_side())
            .stdout(shells_side())
            .stderr(shells_side())
            .spawn()
            .expect("setsid of util-linux");
        drop(pty.slave);
        let keys = File::from(pty.master);
        let mut screen = keys.try_clone().expect("our side of the terminal");
        let (send, printed) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The read fails once the shell has ended.
            while let Ok(count) = screen.read(&mut buffer) {
                if count == 0 || send.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut terminal = Self {
            shell: child,
            keys,
            printed,
            screen: Vec::new(),
        };
        terminal.settle();
        assert!(
            !terminal.screen().contains("failed to execute"),
            "{} is missing: sudo tests/requirements.sh test",
            shell[0]
        );
        terminal
    }

    /// Presses the keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal");
    }

    /// Waits until the shell has printed the text.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.screen().contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            match self.printed.recv_timeout(left) {
                Ok(printed) => self.take(&printed),
                Err(error) => panic!("{error}: no {text:?} in:\n{}", self.screen()),
            }
        }
    }

    /// Waits until the shell has printed something, and then nothing for a while.
    pub(crate) fn settle(&mut self) {
        let mut wait = if self.screen.is_empty() {
            PATIENCE
        } else {
            QUIET
        };
        loop {
            match self.printed.recv_timeout(wait) {
                Ok(printed) => self.take(&printed),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
            wait = QUIET;
        }
    }

    /// What was printed, without the sequences that move the cursor and change colors.
    pub(crate) fn screen(&self) -> String {
        let mut text = String::new();
        let printed = String::from_utf8_lossy(&self.screen);
        let mut characters = printed.chars();
        while let Some(character) = characters.next() {
            if character != '\u{1b}' {
                text.push(character);
                continue;
            }
            match characters.next() {
                // Control sequence: up to its final character.
                Some('[') => drop(characters.find(|c| ('@'..='~').contains(c))),
                // Operating system command: up to BEL, or to ESC \, of which the backslash is left.
                Some(']') => drop(characters.find(|c| ['\u{7}', '\u{1b}'].contains(c))),
                // A character set.
                Some('(' | ')') => drop(characters.next()),
                _ => {}
            }
        }
        text
    }

    /// Forgets what was printed.
    pub(crate) fn forget(&mut self) {
        self.screen.clear();
    }

    fn take(&mut self, printed: &[u8]) {
        self.screen.extend(printed);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Once our side of the terminal is closed, the shell ends; setsid waits for it.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
