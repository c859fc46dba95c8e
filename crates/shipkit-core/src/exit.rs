//! `ExitCode`: what a program's end says, the same in all four binaries.

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: yes.
    Yes,
    /// 1: no (gate blocked, check failed, rolled back).
    No,
    /// 2: asked wrongly (input, config, or a feature that does not work here).
    Usage,
    /// 3: could not find out (network, authentication, no data, too few samples).
    Unknown,
    /// 130: cancelled by SIGINT.
    Interrupted,
    /// 143: cancelled by SIGTERM.
    Terminated,
}

impl ExitCode {
    /// The number for the operating system.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Unknown => 3,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}
