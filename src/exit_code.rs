//! What the program says by its exit code. Scripts rely on these numbers.

/// The exit codes, as documented in `ip-lockdown(8)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: in force, or done.
    Done,
    /// 1: looked, and it does not hold.
    DoesNotHold,
    /// 2: bad usage or name; nothing was changed.
    BadInput,
    /// 3: could not do it or could not look; what stood still stands.
    CouldNot,
    /// 4: in force but degraded.
    Degraded,
}

impl ExitCode {
    /// The number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::DoesNotHold => 1,
            Self::BadInput => 2,
            Self::CouldNot => 3,
            Self::Degraded => 4,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}
