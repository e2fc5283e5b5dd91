//! The table of acceptance scenarios names tests that exist, and leaves no scenario out.

use std::collections::BTreeSet;
use std::path::Path;

/// The scenarios of the build master's contract.
const SCENARIOS: std::ops::RangeInclusive<u32> = 1..=72;

#[test]
fn every_scenario_has_tests_and_every_test_of_the_table_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let table = read(&root.join("scenarios.md"));
    let mut found = BTreeSet::new();
    let mut missing = Vec::new();
    for line in table.lines().filter_map(|line| line.strip_prefix("| ")) {
        let Some((number, rest)) = line.split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse::<u32>() else { continue };
        let tests = rest.split(" | ").nth(1).unwrap_or_default();
        let mut source = String::new();
        let mut count = 0;
        for word in tests.split('`').skip(1).step_by(2) {
            if word.contains('/') {
                source = read(&root.join("..").join(word));
            } else if source.contains(&format!("#[test]\nfn {word}()"))
                || source.contains(&format!("    #[test]\n    fn {word}()"))
            {
                count += 1;
            } else {
                missing.push(format!("{number}: {word}"));
            }
        }
        assert!(count > 0 || !missing.is_empty(), "scenario {number} has no test");
        assert!(found.insert(number), "scenario {number} is there twice");
    }
    assert!(missing.is_empty(), "these tests do not exist: {missing:#?}");
    let expected: BTreeSet<u32> = SCENARIOS.collect();
    assert_eq!(found, expected);
}
