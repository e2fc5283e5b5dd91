//! Where packages of an order go: the staging repository for upstream's, or for `extra` where the customization
//! repository keeps a package of multilib there (`extra-from-multilib`, read at the order's own commit).

use common::build_list::Order;
use common::config::Config;
use common::names::Repository;
use common::repository::{Class, Classes};
use common::source::{Heads, Sources};

/// The list at the top of the customization repository.
const LIST: &str = "extra-from-multilib";

/// The repository that packages of this order are published in.
pub(crate) fn of(config: &Config, classes: &Classes, order: &Order) -> anyhow::Result<Repository> {
    let upstream = if order.repository.as_str() == "multilib" && is_kept_in_extra(config, order)? {
        "extra".parse()?
    } else {
        order.repository.clone()
    };
    Ok(classes.destination(&upstream, Class::Staging)?)
}

fn is_kept_in_extra(config: &Config, order: &Order) -> anyhow::Result<bool> {
    let sources = Sources::open(config)?;
    let Some(customization) = sources.customization() else {
        return Ok(false);
    };
    let mut heads = Heads::default();
    heads.set(customization.name().clone(), order.mod_revision.clone());
    let text = sources.list_file(&heads, LIST)?.unwrap_or_default();
    Ok(names(&text).any(|name| name == order.pkgbase.as_str()))
}

/// Names, one a line; from the first `#` on a line is a comment.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_left_out() {
        assert_eq!(
            names("# all\n\ncmucl # lisp\nwine\n").collect::<Vec<_>>(),
            ["cmucl", "wine"]
        );
    }
}
