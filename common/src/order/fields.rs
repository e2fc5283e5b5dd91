//! The four fields of an order, borrowed from a text and not checked: to find a few orders among all of a distribution
//! without making owned names of the others.

use super::Order;
use crate::names::{NameError, PkgBase, Repository, Revision};

/// The fields of an order as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderFields<'t> {
    /// [`Order::pkgbase`].
    pub pkgbase: &'t str,
    /// [`Order::revision`].
    pub revision: &'t str,
    /// [`Order::mod_revision`].
    pub mod_revision: &'t str,
    /// [`Order::repository`].
    pub repository: &'t str,
}

impl<'t> OrderFields<'t> {
    /// Those of a line of the build list; `None` when it has not four.
    #[must_use]
    pub fn of_line(line: &'t str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let fields = Self {
            pkgbase: words.next()?,
            revision: words.next()?,
            mod_revision: words.next()?,
            repository: words.next()?,
        };
        words.next().is_none().then_some(fields)
    }

    /// Those of `pkgbase.revision.mod_revision.repository`, read from the right; `None` when a part is missing.
    #[must_use]
    pub fn of_id(id: &'t str) -> Option<Self> {
        let (rest, repository) = cut_last(id)?;
        let (rest, mod_revision) = cut_last(rest)?;
        let (pkgbase, revision) = cut_last(rest)?;
        Some(Self {
            pkgbase,
            revision,
            mod_revision,
            repository,
        })
    }

    /// Those of an order.
    #[must_use]
    pub fn of(order: &'t Order) -> Self {
        Self {
            pkgbase: order.pkgbase.as_str(),
            revision: order.revision.as_str(),
            mod_revision: order.mod_revision.as_str(),
            repository: order.repository.as_str(),
        }
    }

    /// The order.
    ///
    /// # Errors
    /// A field breaks the rule of its kind.
    pub fn check(self) -> Result<Order, NameError> {
        Ok(Order {
            pkgbase: self.pkgbase.parse()?,
            revision: self.revision.parse()?,
            mod_revision: self.mod_revision.parse()?,
            repository: self.repository.parse()?,
        })
    }

    /// Whether every field keeps the rule of its kind.
    #[must_use]
    pub fn is_valid(self) -> bool {
        PkgBase::accepts(self.pkgbase)
            && Revision::accepts(self.revision)
            && Revision::accepts(self.mod_revision)
            && Repository::accepts(self.repository)
    }
}

/// What is before and behind the last dot; thousands of names are cut in one request.
pub(crate) fn cut_last(text: &str) -> Option<(&str, &str)> {
    let dot = text.bytes().rposition(|byte| byte == b'.')?;
    Some((&text[..dot], &text[dot + 1..]))
}

/// So many different texts behind the pkgbases of a list are remembered: lists of one commit have few.
const REMEMBERED: usize = 8;

/// Tells the lines of a list that are orders of four fields, the first of which ends with a blank.
#[derive(Debug, Default)]
pub struct LineCheck {
    /// What followed the pkgbases of some of them.
    valid_rests: Vec<String>,
}

impl LineCheck {
    /// Whether a line is one.
    pub fn is_order(&mut self, line: &str) -> bool {
        let pkgbase = pkgbase(line);
        let rest = &line[pkgbase.len()..];
        if !self.valid_rests.iter().any(|valid| valid == rest) {
            if !OrderFields::of_line(line).is_some_and(OrderFields::is_valid) {
                return false;
            }
            self.valid_rests.truncate(REMEMBERED - 1);
            self.valid_rests.insert(0, rest.to_owned());
        }
        PkgBase::accepts(pkgbase)
    }
}

/// The first field of a line of a list.
#[must_use]
pub fn pkgbase(line: &str) -> &str {
    let end = line.bytes().position(|byte| byte == b' ');
    &line[..end.unwrap_or(line.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::order_id;

    #[test]
    fn a_line_and_a_file_name_give_the_fields_of_the_order() {
        let line = format!("lua5.1-lpeg {} {} core", "1".repeat(40), "2".repeat(40));
        let order: Order = line.parse().unwrap();
        let fields = OrderFields::of_line(&line).unwrap();
        assert_eq!(fields, OrderFields::of(&order));
        assert_eq!(OrderFields::of_id(&order_id(&order)).unwrap(), fields);
        assert_eq!(fields.check().unwrap(), order);
        assert!(fields.is_valid());
    }

    #[test]
    fn only_lines_of_four_valid_fields_are_orders() {
        let rest = format!(" {} {} core", "1".repeat(40), "2".repeat(40));
        let mut check = LineCheck::default();
        for line in [format!("a{rest}"), format!("libsigc++{rest}"), format!("a {rest}")] {
            assert!(check.is_order(&line), "{line:?}");
        }
        assert_eq!(pkgbase(&format!("libsigc++{rest}")), "libsigc++");
        let junk = ["a", "", "a b c d", &format!("-a{rest}"), &format!("a{rest} x"), &rest];
        for line in junk {
            assert!(!check.is_order(line), "{line:?}");
        }
    }

    #[test]
    fn too_few_and_too_many_words_are_no_order() {
        assert_eq!(OrderFields::of_line("a b c"), None);
        assert_eq!(OrderFields::of_line("a b c d e"), None);
        assert_eq!(OrderFields::of_id("a.b.c"), None);
        let fields = OrderFields::of_line("a b c d").unwrap();
        assert!(!fields.is_valid() && fields.check().is_err());
    }
}
