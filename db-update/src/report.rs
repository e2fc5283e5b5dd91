//! What a run does or would do: lines as the original prints them, or JSON.

use std::collections::BTreeSet;
use std::io::{self, Write};

use common::cli::Messages;
use common::names::Repository;
use common::state::order_id;

use crate::explain::{self, reason};
use crate::plan::{Move, Plan};
use crate::situation::Situation;

fn sources(movement: &Move) -> BTreeSet<&Repository> {
    movement.packages.iter().map(|(_, from)| from).collect()
}

/// `move "<state>" from "<repo>" to "<repo>"` and `delete "<package>" from "<repo>"`.
pub(crate) fn text(plan: &Plan, stdout: &mut dyn Write) -> io::Result<()> {
    for (repository, entry) in &plan.deleted {
        writeln!(
            stdout,
            "delete \"{}-{}\" from \"{repository}\"",
            entry.name, entry.version
        )?;
    }
    for movement in &plan.moves {
        for from in sources(movement) {
            let id = order_id(&movement.order);
            writeln!(stdout, "move \"{id}\" from \"{from}\" to \"{}\"", movement.to)?;
        }
    }
    Ok(())
}

/// One object a line: `approve`, `delete`, `move`, `hold`.
pub(crate) fn json(situation: &Situation, plan: &Plan, stdout: &mut dyn Write) -> io::Result<()> {
    for order in &situation.approved {
        writeln!(stdout, "{}", serde_json::json!({"action": "approve", "order": order}))?;
    }
    for (repository, entry) in &plan.deleted {
        let version = entry.version.to_string();
        let value = serde_json::json!({
            "action": "delete", "package": entry.name, "version": version, "from": repository,
        });
        writeln!(stdout, "{value}")?;
    }
    for movement in &plan.moves {
        for from in sources(movement) {
            let packages: Vec<_> = movement
                .packages
                .iter()
                .filter(|(_, source)| source == from)
                .map(|(name, _)| name)
                .collect();
            let value = serde_json::json!({
                "action": "move", "order": movement.order, "packages": packages, "from": from, "to": movement.to,
            });
            writeln!(stdout, "{value}")?;
        }
    }
    for (order, hold) in &plan.held {
        let value = serde_json::json!({"action": "hold", "order": order, "reason": reason(hold)});
        writeln!(stdout, "{value}")?;
    }
    Ok(())
}

/// What was done, for people.
pub(crate) fn notes(plan: &Plan, messages: &Messages) {
    for (repository, entry) in &plan.deleted {
        messages.note(format_args!("{} {} left {repository}", entry.name, entry.version));
    }
    for movement in &plan.moves {
        messages.note(format_args!("{} moved to {}", movement.order.pkgbase, movement.to));
    }
    for obstacle in &plan.broken {
        messages.error(format_args!(
            "warning: a forced move breaks something: {}",
            explain::obstacle(obstacle)
        ));
    }
    for (order, state) in &plan.vanished {
        messages.note(format_args!(
            "{} {state}: its packages are not published any more",
            order.pkgbase
        ));
    }
    for (order, hold) in &plan.held {
        messages.detail(format_args!("{} stays: {}", order.pkgbase, reason(hold)));
    }
}
