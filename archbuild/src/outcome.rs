//! How a run ended: the answers of the protocol that every build command keeps.

use std::fmt;

/// The class of an end; its number is archbuild's exit code. As the context of an error it says what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// 0: what was asked for is there.
    Done,
    /// 1: a function of the package failed, or its PKGBUILD cannot be read, or the command of `run` failed.
    Failed,
    /// 2: dependencies cannot be installed.
    Dependencies,
    /// 3: sources cannot be fetched, or are not what they should be.
    Sources,
    /// 4: a limit was reached.
    Limit,
    /// 5: the chroot cannot be made or used; says nothing about the package.
    Chroot,
    /// 6: somebody ended it.
    Interrupted,
}

/// Added to the class's number for the process inside the namespace, so that an end of `unshare` itself is no answer.
const INSIDE: u8 = 40;

const ALL: [Class; 7] = [
    Class::Done,
    Class::Failed,
    Class::Dependencies,
    Class::Sources,
    Class::Limit,
    Class::Chroot,
    Class::Interrupted,
];

impl Class {
    /// The exit code of archbuild.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The exit code of the process inside the namespace.
    pub(crate) const fn code_inside(self) -> u8 {
        INSIDE + self.code()
    }

    /// Reads the exit code of the process inside; none when that process gave no answer.
    pub(crate) fn from_inside(code: Option<i32>) -> Option<Self> {
        ALL.into_iter()
            .find(|class| code == Some(i32::from(class.code_inside())))
    }

    /// The class that an error carries; what nobody classified is trouble with the chroot.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        error.downcast_ref::<Self>().copied().unwrap_or(Self::Chroot)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dependencies => "dependencies cannot be installed",
            Self::Sources => "sources cannot be made ready",
            Self::Limit => "a limit was reached",
            Self::Chroot => "trouble with the chroot",
            Self::Interrupted => "interrupted",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn the_codes_are_those_of_the_protocol() {
        assert_eq!(ALL.map(Class::code), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn an_end_of_another_process_is_no_answer() {
        for code in [None, Some(0), Some(1), Some(101), Some(126), Some(127), Some(137)] {
            assert_eq!(Class::from_inside(code), None);
        }
        for class in ALL {
            assert_eq!(Class::from_inside(Some(i32::from(class.code_inside()))), Some(class));
        }
    }

    #[test]
    fn an_error_keeps_its_class_below_other_contexts() {
        let error = Err::<(), _>(anyhow!("404"))
            .context(Class::Sources)
            .context("building x")
            .unwrap_err();
        assert_eq!(Class::of(&error), Class::Sources);
        assert_eq!(Class::of(&anyhow!("x")), Class::Chroot);
    }
}
