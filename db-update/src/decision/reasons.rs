//! Why each group that stays does: the condition that would be broken by it, so that what it refers to is explained before.
//!
//! Groups that need each other would explain each other for ever; so a group is explained by others only when those are
//! explained already.

use super::search::Condition;

/// For every group that stays the number of a condition; `None` for those that move.
pub(super) fn reasons(conditions: &[Condition], moves: &[bool]) -> Vec<Option<usize>> {
    let mut reasons = vec![None; moves.len()];
    let mut helped_by_moving = vec![Vec::new(); moves.len()];
    for (number, condition) in conditions.iter().enumerate() {
        for group in &condition.moving {
            helped_by_moving[*group].push(number);
        }
    }
    let mut unexplained: Vec<usize> = conditions.iter().map(|condition| condition.moving.len()).collect();
    let mut pending: Vec<usize> = (0..conditions.len())
        .filter(|number| unexplained[*number] == 0)
        .collect();
    // What stays because of others comes after what stays by itself.
    pending.reverse();
    while let Some(number) = pending.pop() {
        let Some(group) = culprit(&conditions[number], moves).filter(|group| reasons[*group].is_none()) else {
            continue;
        };
        reasons[group] = Some(number);
        for helped in &helped_by_moving[group] {
            unexplained[*helped] -= 1;
            if unexplained[*helped] == 0 {
                pending.push(*helped);
            }
        }
    }
    // Only where a choice of several was made together: one of its conditions.
    for (number, condition) in conditions.iter().enumerate() {
        for group in condition.staying.iter().filter(|group| !moves[**group]) {
            reasons[*group].get_or_insert(number);
        }
    }
    reasons
}

/// The one group by which the condition holds.
fn culprit(condition: &Condition, moves: &[bool]) -> Option<usize> {
    let mut staying = condition.staying.iter().copied().filter(|group| !moves[*group]);
    let first = staying.next()?;
    (staying.next().is_none() && condition.moving.iter().all(|group| !moves[*group])).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(moving: &[usize], staying: &[usize]) -> Condition {
        Condition::new(moving.to_vec(), staying.to_vec())
    }

    #[test]
    fn groups_that_need_each_other_are_explained_by_what_holds_one_of_them() {
        // 0 and 1 need each other, 1 needs what stays by itself.
        let conditions = [
            condition(&[1], &[0]),
            condition(&[0], &[1]),
            condition(&[2], &[1]),
            condition(&[], &[2]),
        ];
        let reasons = reasons(&conditions, &[false, false, false, true]);
        assert_eq!(reasons, [Some(0), Some(2), Some(3), None]);
    }
}
