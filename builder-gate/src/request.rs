//! The grammar of what a builder may ask for over ssh.
//!
//! `get-assignment [--wait N] [--files] [--have NAME]… [NAME]`, `return-assignment PKGBASE REVISION MOD_REVISION
//! REPOSITORY SUB_PKGREL|ERROR` and `ping-from-builder PHASE [LOG_BYTES [PKGBASE]]` (also as `ping-from-slave`). Words are separated by
//! blanks and have no quotes; everything else is refused. Invariant: what comes out is an argument vector that was put
//! together here from checked names, and no shell ever sees it.

use common::build_list::Order;
use common::names::{NameError, PkgBase};
use thiserror::Error;

/// Longest command line in bytes.
const MAX_COMMAND: usize = 4096;
/// Most words of a command line.
const MAX_WORDS: usize = 64;
/// Longest wait that a builder may ask for, in seconds.
const MAX_WAIT: u32 = 3600;
/// Longest name of a phase.
const MAX_PHASE: usize = 32;

/// A tool that builders may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Hands out an order.
    GetAssignment,
    /// Takes packages or logs back.
    ReturnAssignment,
    /// Takes a sign of life.
    PingFromBuilder,
}

impl Tool {
    /// The name of its program.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::GetAssignment => "get-assignment",
            Self::ReturnAssignment => "return-assignment",
            Self::PingFromBuilder => "ping-from-builder",
        }
    }
}

/// A request of the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The tool.
    pub tool: Tool,
    /// Its arguments, without its name.
    pub arguments: Vec<String>,
}

/// Why a command line is refused.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is none: the builder asked for a shell.
    #[error("no command was given")]
    Empty,
    /// It is longer than any request can be.
    #[error("the command is longer than {MAX_COMMAND} bytes or {MAX_WORDS} words")]
    TooLong,
    /// It has a byte that no request has.
    #[error("the command has characters other than letters, digits, blanks and @ . _ + -")]
    Character,
    /// Its first word is no tool for builders.
    #[error("{0:?} is no command for builders")]
    Tool(String),
    /// Its words are not those of the tool.
    #[error("{0} does not take these arguments")]
    Arguments(&'static str),
    /// A word breaks the rule of its kind.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Reads the command line that ssh passed on.
///
/// # Errors
/// It is not of the grammar.
pub fn parse(command: &str) -> Result<Request, Refusal> {
    if command.len() > MAX_COMMAND {
        return Err(Refusal::TooLong);
    }
    if !command
        .bytes()
        .all(|c| c.is_ascii_alphanumeric() || b" @._+-".contains(&c))
    {
        return Err(Refusal::Character);
    }
    let words: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).collect();
    if words.len() > MAX_WORDS {
        return Err(Refusal::TooLong);
    }
    let (name, rest) = words.split_first().ok_or(Refusal::Empty)?;
    match *name {
        "get-assignment" => get_assignment(rest),
        "return-assignment" => return_assignment(rest),
        "ping-from-builder" | "ping-from-slave" => ping(rest),
        other => Err(Refusal::Tool(other.chars().take(80).collect())),
    }
}

fn get_assignment(words: &[&str]) -> Result<Request, Refusal> {
    let refusal = || Refusal::Arguments("get-assignment");
    let mut arguments = Vec::new();
    let mut name = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--files" => arguments.push((*word).to_owned()),
            "--wait" => {
                let seconds: u32 = number(words.next().ok_or_else(refusal)?).ok_or_else(refusal)?;
                if seconds > MAX_WAIT {
                    return Err(refusal());
                }
                arguments.extend([(*word).to_owned(), seconds.to_string()]);
            }
            "--have" => {
                let pkgbase: PkgBase = words.next().ok_or_else(refusal)?.parse()?;
                arguments.extend([(*word).to_owned(), pkgbase.to_string()]);
            }
            _ if name.is_none() => name = Some(word.parse::<PkgBase>()?),
            _ => return Err(refusal()),
        }
    }
    arguments.extend(name.map(String::from));
    Ok(Request {
        tool: Tool::GetAssignment,
        arguments,
    })
}

fn return_assignment(words: &[&str]) -> Result<Request, Refusal> {
    let refusal = || Refusal::Arguments("return-assignment");
    let [pkgbase, revision, mod_revision, repository, outcome] = words else {
        return Err(refusal());
    };
    let order = Order {
        pkgbase: pkgbase.parse()?,
        revision: revision.parse()?,
        mod_revision: mod_revision.parse()?,
        repository: repository.parse()?,
    };
    if *outcome != "ERROR" && number::<u32>(outcome).is_none() {
        return Err(refusal());
    }
    let mut arguments: Vec<String> = order.to_string().split(' ').map(str::to_owned).collect();
    arguments.push((*outcome).to_owned());
    Ok(Request {
        tool: Tool::ReturnAssignment,
        arguments,
    })
}

fn ping(words: &[&str]) -> Result<Request, Refusal> {
    let is_phase = |word: &str| {
        word.len() <= MAX_PHASE
            && word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|c| c.is_ascii_lowercase() || c == b'-')
    };
    let refusal = || Refusal::Arguments("ping-from-builder");
    let [phase, rest @ ..] = words else {
        return Err(refusal());
    };
    if !is_phase(phase) || rest.len() > 2 {
        return Err(refusal());
    }
    let mut arguments = vec![(*phase).to_owned()];
    if let Some(bytes) = rest.first() {
        arguments.push(number::<u64>(bytes).ok_or_else(refusal)?.to_string());
    }
    if let Some(pkgbase) = rest.get(1) {
        arguments.push(pkgbase.parse::<PkgBase>()?.into());
    }
    Ok(Request {
        tool: Tool::PingFromBuilder,
        arguments,
    })
}

/// A whole number without sign and leading zeros.
fn number<T: std::str::FromStr>(word: &str) -> Option<T> {
    let is_plain = word.bytes().all(|c| c.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if is_plain { word.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "1111111111111111111111111111111111111111";

    fn arguments(command: &str) -> Vec<String> {
        parse(command).unwrap().arguments
    }

    #[test]
    fn scenario_68_requests_of_the_grammar_are_passed_on() {
        assert!(arguments("get-assignment").is_empty());
        assert_eq!(arguments("get-assignment foo"), ["foo"]);
        assert_eq!(
            arguments("get-assignment --wait 30 --files --have a --have libsigc++ b"),
            ["--wait", "30", "--files", "--have", "a", "--have", "libsigc++", "b"]
        );
        assert_eq!(
            arguments(&format!("return-assignment lua5.1-lpeg {A} {A} extra 2")),
            ["lua5.1-lpeg", A, A, "extra", "2"]
        );
        assert_eq!(
            arguments(&format!("return-assignment a {A} {A} core ERROR"))[4],
            "ERROR"
        );
        assert_eq!(arguments("ping-from-slave post-build"), ["post-build"]);
        assert_eq!(
            arguments("ping-from-builder check 5000000000 libsigc++"),
            ["check", "5000000000", "libsigc++"]
        );
        // The original builders put an empty word where no package is preferred.
        assert!(arguments("get-assignment ").is_empty());
    }

    #[test]
    fn scenario_68_everything_else_is_refused() {
        let long = format!("get-assignment {}", "--files ".repeat(2000));
        let many = format!("get-assignment {}", "--have a ".repeat(60));
        for command in [
            "",
            " ",
            "get-assignment foo;id",
            "get-assignment $(id)",
            "get-assignment ../x",
            "get-assignment foo,bar",
            "get-assignment foo bar",
            "get-assignment foo\nid",
            "get-assignment\tfoo",
            "get-assignment 'foo'",
            "get-assignment --config x",
            "get-assignment --config=x",
            "get-assignment --wait",
            "get-assignment --wait -1",
            "get-assignment --wait 3601",
            "get-assignment --wait 99999999999",
            "get-assignment --have",
            "get-assignment -n",
            "get-assignment --explain",
            "rm -rf",
            "get-assignmentx",
            "return-assignment a b c d",
            "return-assignment",
            "ping-from-builder",
            "ping-from-builder --config",
            "ping-from-builder a b",
            "ping-from-builder a -1",
            "ping-from-builder a 1 ../b",
            "ping-from-builder a 1 -x",
            "ping-from-builder a 1 b c",
            "builder-gate x",
            long.as_str(),
            many.as_str(),
        ] {
            assert!(parse(command).is_err(), "{command:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever comes in, what comes out is words of the grammar: no option but the three, nothing with a slash.
        #[test]
        fn whatever_is_passed_on_is_of_the_grammar(
            command in "(get-assignment|return-assignment|ping-from-builder|sh)?([ \t;'\"$/.a-z0-9+-]{0,40})"
        ) {
            if let Ok(request) = parse(&command) {
                for argument in &request.arguments {
                    let is_option = ["--wait", "--files", "--have"].contains(&argument.as_str());
                    prop_assert!(is_option || !argument.starts_with('-'), "{:?}", argument);
                    prop_assert!(argument.bytes().all(|c| c.is_ascii_graphic() && c != b'/'), "{:?}", argument);
                }
            }
        }
    }
}
