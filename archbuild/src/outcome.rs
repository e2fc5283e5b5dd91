//! How a run inside the namespace ended, on its way out: as an exit code of the process inside, and as the context of an
//! error.

use common::build_command::Outcome;

/// Added to the code of the process inside, so that an end of `unshare` itself is no answer.
const INSIDE: u8 = 40;

/// The exit code of the process inside the namespace.
pub(crate) const fn code_inside(outcome: Outcome) -> u8 {
    INSIDE + outcome.code()
}

/// Reads the exit code of the process inside; none when that process gave no answer.
pub(crate) fn from_inside(code: Option<i32>) -> Option<Outcome> {
    Outcome::all().find(|outcome| code == Some(i32::from(code_inside(*outcome))))
}

/// The outcome that an error carries; what nobody classified is trouble with the chroot.
pub(crate) fn of(error: &anyhow::Error) -> Outcome {
    error.downcast_ref::<Outcome>().copied().unwrap_or(Outcome::Machine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn an_end_of_another_process_is_no_answer() {
        for code in [None, Some(0), Some(1), Some(101), Some(126), Some(127), Some(137)] {
            assert_eq!(from_inside(code), None);
        }
        for outcome in Outcome::all() {
            let read = from_inside(Some(i32::from(code_inside(outcome)))).unwrap();
            assert_eq!(read.code(), outcome.code());
        }
    }

    #[test]
    fn an_error_keeps_its_outcome_below_other_contexts() {
        let error = Err::<(), _>(anyhow!("404"))
            .context(Outcome::Sources)
            .context("building x")
            .unwrap_err();
        assert_eq!(of(&error), Outcome::Sources);
        assert_eq!(of(&anyhow!("x")), Outcome::Machine);
    }
}
