//! Command lines by the million: those of the grammar are taken, those with a mistake are refused.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use builder_gate::request::{Refusal, parse};

const A: &str = "1111111111111111111111111111111111111111";

/// A source of numbers that is the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % end
    }

    fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

const NAMES: [&str; 6] = ["a", "libsigc++", "lua5.1-lpeg", "@x", "_y", "gcc-libs"];
const PHASES: [&str; 3] = ["building", "post-build", "fetching"];

/// A command line of the grammar.
fn sentence(dice: &mut Dice) -> String {
    match dice.below(4) {
        0 => {
            let mut words = vec!["get-assignment"];
            for _ in 0..dice.below(4) {
                words.extend(match dice.below(3) {
                    0 => vec!["--files"],
                    1 => vec!["--wait", dice.one_of(&["0", "30", "3600"])],
                    _ => vec!["--have", dice.one_of(&NAMES)],
                });
            }
            if dice.below(2) == 0 {
                words.push(dice.one_of(&NAMES));
            }
            words.join(" ")
        }
        1 => format!(
            "{} {}",
            dice.one_of(&["ping-from-builder", "ping-from-slave"]),
            dice.one_of(&PHASES)
        ),
        _ => format!(
            "return-assignment {} {A} {A} {} {}",
            dice.one_of(&NAMES),
            dice.one_of(&["core", "build-support", "extra"]),
            dice.one_of(&["0", "12", "ERROR"])
        ),
    }
}

/// What no command line of the grammar has anywhere.
const FOREIGN: [&str; 34] = [
    "\n", "\r", "\0", "\t", "\u{7f}", "\u{1b}", "\u{a0}", "\u{2028}", "\u{fc}", "\u{202e}", ";", "&", "|", "$", "`",
    "(", ")", "<", ">", "'", "\"", "\\", "/", "*", "?", "[", "]", "{", "}", "~", "#", "!", "%", ",",
];

/// Words that stand in no command line of the grammar, or not there.
const WRONG_WORDS: [&str; 14] = [
    "-",
    "--",
    "-n",
    "--config",
    "--config=x",
    "--json",
    "--explain",
    "-v",
    "--help",
    "--wait=5",
    "--have=a",
    "..",
    ".a",
    "--filesx",
];

/// A command line that is not of the grammar, by construction: a sentence with one mistake.
fn mistake(dice: &mut Dice) -> String {
    let sentence = sentence(dice);
    match dice.below(6) {
        0 => {
            let at = dice.below(sentence.len() + 1);
            let (before, after) = sentence.split_at(at);
            format!("{before}{}{after}", dice.one_of(&FOREIGN))
        }
        1 => {
            let mut words: Vec<&str> = sentence.split(' ').collect();
            let at = 1 + dice.below(words.len());
            words.insert(at.min(words.len()), dice.one_of(&WRONG_WORDS));
            words.join(" ")
        }
        // Another verb, or none.
        2 => {
            let (verb, rest) = sentence.split_once(' ').unwrap_or((&sentence, ""));
            let wrong = [
                "sh",
                "scp",
                "rsync",
                "db-update",
                "GET-ASSIGNMENT",
                "get-assignmentx",
                "env",
                "-",
                ".",
            ];
            match dice.below(3) {
                0 => format!("{} {rest}", dice.one_of(&wrong)),
                1 => format!("x{verb} {rest}"),
                _ => format!("{} {sentence}", dice.one_of(&wrong)),
            }
        }
        // Two words too many for every verb.
        3 => format!(
            "{sentence} {} {} {}",
            dice.one_of(&NAMES),
            dice.one_of(&NAMES),
            dice.one_of(&NAMES)
        ),
        // Words that are cut, changed or missing.
        4 => {
            let revision = &A[..dice.below(40)];
            let words = ["core", A, revision, "a", "0", "ERROR", "-1", "00", "1e3", "error"];
            let verb = dice.one_of(&["return-assignment a", "return-assignment a core", "return-assignment"]);
            let rest: Vec<&str> = (0..dice.below(6)).map(|_| dice.one_of(&words)).collect();
            let line = format!("{verb} {} {revision}", rest.join(" "));
            // The last word is no number and not ERROR, but for one that is short and all ones.
            line + "x"
        }
        // Too many words, or one that is too long.
        _ if dice.below(100) == 0 => "get-assignment --files ".to_owned() + &"--have a ".repeat(32 + dice.below(400)),
        _ => format!("get-assignment {}", "a".repeat(129 + dice.below(30))),
    }
}

#[test]
fn sentences_of_the_grammar_are_taken() {
    let mut dice = Dice(7);
    for _ in 0..10_000 {
        let sentence = sentence(&mut dice);
        assert!(parse(&sentence).is_ok(), "{sentence:?}");
    }
}

#[test]
fn a_million_command_lines_that_are_not_of_the_grammar_are_refused() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..1_000_000 {
        let line = mistake(&mut dice);
        assert!(parse(&line).is_err(), "{line:?}");
    }
}

/// A filter that looks at each line alone lets the second one through to a shell.
#[test]
fn a_second_line_is_refused_whatever_it_says() {
    for second in ["id -un", "get-assignment", "", " ", "#", "get-assignment a"] {
        for end in ["\n", "\r\n", "\r", "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\0"] {
            for line in [
                format!("get-assignment {end}{second}"),
                format!("get-assignment{end}{second}"),
                format!("{end}get-assignment {second}"),
                format!("{second}{end}get-assignment"),
            ] {
                assert_eq!(parse(&line), Err(Refusal::Character), "{line:?}");
            }
        }
    }
}
