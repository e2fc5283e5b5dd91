//! The syntax of `portsmith.conf`: shell assignments that are parsed and never executed.
//!
//! `key=value` a line; values are words of unquoted, 'single' and "double" quoted parts, which may run over several
//! lines; `#` begins a comment; `$key` and `${key}` stand for an earlier key. Command substitution and every other
//! meaning that a shell would give to a character is an error, so that a shell that sources the file sees the same.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use thiserror::Error;

/// A line that is not a plain assignment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct SyntaxError {
    line: usize,
    message: String,
}

/// Reads the text of a configuration file into its keys and values; a later assignment replaces an earlier one.
///
/// # Errors
/// The first line that is not an assignment of this syntax.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, SyntaxError> {
    let mut parser = Parser {
        chars: text.chars().peekable(),
        line: 1,
        values: BTreeMap::new(),
    };
    while parser.skip_to_assignment() {
        parser.assignment()?;
    }
    Ok(parser.values)
}

struct Parser<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
    values: BTreeMap<String, String>,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next();
        if c == Some('\n') {
            self.line += 1;
        }
        c
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError {
            line: self.line,
            message: message.into(),
        })
    }

    /// Passes over blanks, empty lines and comments; false at the end of the text.
    fn skip_to_assignment(&mut self) -> bool {
        while let Some(c) = self.chars.peek().copied() {
            match c {
                '#' => self.skip_comment(),
                c if c.is_whitespace() => {
                    self.next();
                }
                _ => return true,
            }
        }
        false
    }

    fn skip_comment(&mut self) {
        while self.chars.peek().is_some_and(|c| *c != '\n') {
            self.next();
        }
    }

    fn assignment(&mut self) -> Result<(), SyntaxError> {
        let key = self.identifier();
        if key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) {
            return self.error("expected key=value");
        }
        if self.next() != Some('=') {
            return self.error(format!("expected = after {key}"));
        }
        let value = self.value()?;
        self.values.insert(key, value);
        Ok(())
    }

    fn identifier(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.chars.peek().copied() {
            if !(c.is_ascii_alphanumeric() || c == '_') {
                break;
            }
            name.push(c);
            self.next();
        }
        name
    }

    /// One word, up to the end of the line.
    fn value(&mut self) -> Result<String, SyntaxError> {
        let mut value = String::new();
        loop {
            match self.chars.peek().copied() {
                None | Some('\n') => break,
                Some('\'') => self.single_quoted(&mut value)?,
                Some('"') => self.double_quoted(&mut value)?,
                Some('$') => self.expansion(&mut value)?,
                Some('\\') => {
                    self.next();
                    match self.next() {
                        None => return self.error("a backslash ends the file"),
                        Some('\n') => {}
                        Some(c) => value.push(c),
                    }
                }
                Some(c) if c.is_whitespace() => {
                    self.end_of_line()?;
                    break;
                }
                Some('`') => return self.error("command substitution is not allowed"),
                Some(c) if "|&;<>()*?[]{}!~".contains(c) => {
                    return self.error(format!("{c} has a meaning for shells: put the value into quotes"));
                }
                Some(c) => {
                    value.push(c);
                    self.next();
                }
            }
        }
        Ok(value)
    }

    fn end_of_line(&mut self) -> Result<(), SyntaxError> {
        loop {
            match self.chars.peek().copied() {
                None | Some('\n') => return Ok(()),
                Some('#') => self.skip_comment(),
                Some(c) if c.is_whitespace() => {
                    self.next();
                }
                Some(_) => return self.error("several words: put the value into quotes"),
            }
        }
    }

    fn single_quoted(&mut self, value: &mut String) -> Result<(), SyntaxError> {
        let opened = self.line;
        self.next();
        loop {
            match self.next() {
                None => return self.unclosed(opened),
                Some('\'') => return Ok(()),
                Some(c) => value.push(c),
            }
        }
    }

    fn double_quoted(&mut self, value: &mut String) -> Result<(), SyntaxError> {
        let opened = self.line;
        self.next();
        loop {
            match self.chars.peek().copied() {
                None => return self.unclosed(opened),
                Some('"') => {
                    self.next();
                    return Ok(());
                }
                Some('$') => self.expansion(value)?,
                Some('`') => return self.error("command substitution is not allowed"),
                Some('\\') => {
                    self.next();
                    match self.next() {
                        None => return self.unclosed(opened),
                        Some('\n') => {}
                        Some(c @ ('"' | '\\' | '$' | '`')) => value.push(c),
                        Some(c) => value.extend(['\\', c]),
                    }
                }
                Some(c) => {
                    value.push(c);
                    self.next();
                }
            }
        }
    }

    fn unclosed<T>(&self, opened: usize) -> Result<T, SyntaxError> {
        Err(SyntaxError {
            line: opened,
            message: "the quote that begins here is never closed".to_owned(),
        })
    }

    fn expansion(&mut self, value: &mut String) -> Result<(), SyntaxError> {
        self.next();
        let key = match self.chars.peek() {
            Some('{') => {
                self.next();
                let key = self.identifier();
                if self.next() != Some('}') {
                    return self.error("only ${key} of the forms of ${…} is understood");
                }
                key
            }
            Some('(') => return self.error("command substitution is not allowed"),
            _ => self.identifier(),
        };
        match self.values.get(&key) {
            Some(earlier) => {
                value.push_str(&earlier.clone());
                Ok(())
            }
            None if key.is_empty() => self.error("$ without a key: quote it as '$'"),
            None => self.error(format!("${key} is not set above")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        parse(text).unwrap().remove("k").unwrap()
    }

    #[test]
    fn values_are_read_as_a_shell_reads_them() {
        assert_eq!(value("k=v"), "v");
        assert_eq!(value("  k=v   # why\n"), "v");
        assert_eq!(value("k=a#b"), "a#b");
        assert_eq!(value("k=\"several words\""), "several words");
        assert_eq!(value("k='$not \"expanded\"'"), "$not \"expanded\"");
        assert_eq!(value("k=\"a\nb\"\n"), "a\nb");
        assert_eq!(value("base=/srv\nk=\"$base/x\"${base}'/y'"), "/srv/x/srv/y");
        assert_eq!(value("k=\"\\\"\\$\\n\""), "\"$\\n");
        assert_eq!(value("k="), "");
        assert_eq!(value("k=1\nk=2"), "2");
    }

    #[test]
    fn what_a_shell_would_execute_is_refused_with_its_line() {
        for (text, line) in [
            ("a=1\nk=$(id)", 2),
            ("k=\"`id`\"", 1),
            ("k=`id`", 1),
            ("k=a;id", 1),
            ("\n\nrm -rf /", 3),
            ("k=(1 2)", 1),
            ("k=a b", 1),
            ("k=$unset", 1),
            ("k=\"${a:-b}\"", 1),
            ("a=1\nk=\"never\nclosed", 2),
            ("1k=v", 1),
            ("k =v", 1),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
        }
    }
}
