//! The exit codes. Scripts rely on these numbers.

/// The exit codes, as documented in `ip-lockdown(8)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: success.
    Success,
    /// 1: the check failed.
    CheckFailed,
    /// 2: bad usage, configuration or name; nothing was changed.
    BadInput,
    /// 3: the operation or check could not be completed; a failed change leaves the existing rules installed.
    Incomplete,
    /// 4: locked but degraded.
    Degraded,
}

impl ExitCode {
    /// Returns the number that the process exits with.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::CheckFailed => 1,
            Self::BadInput => 2,
            Self::Incomplete => 3,
            Self::Degraded => 4,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}
