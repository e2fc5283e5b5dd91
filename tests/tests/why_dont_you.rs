//! `scripts/why-dont-you`: what the tools say of a package, under the name and with the words of the originals.

use testkit::master::Master;
use testkit::tool::Ended;

fn ask(master: &Master, words: &[&str]) -> Ended {
    master.script("why-dont-you").args(words).run()
}

#[test]
fn scenario_69_each_action_has_its_reasons() {
    let master = Master::new(&["a", "b: a", "c", "d", "e"]);
    master.write(&master.fact("c", "blocked"), "wait for FS#1\n");
    master.write(&master.fact("d", "broken"), "eurobuild 1500000000\n");
    master.ask("eurobuild", &["e"]).expect(0);
    let answer = ask(&master, &["build", "a", "b", "c", "d", "e", "nobody"])
        .expect(0)
        .stdout;
    let lines: Vec<&str> = answer.lines().collect();
    for (line, words) in lines.iter().zip([
        "a: can be built",
        "b: waits for a (make)",
        "c: blocked: wait for FS#1",
        "d: broken once; can be built",
        "e: leased to eurobuild",
        "nobody: is not on the build list",
    ]) {
        assert!(line.starts_with(words), "{line:?} does not begin with {words:?}");
    }
    assert_eq!(lines.len(), 6);
    for action in ["unstage", "stabilize"] {
        let answer = ask(&master, &[action, "a", "nobody"]).expect(0).stdout;
        assert!(answer.contains("a: is on the build list"), "{answer}");
        assert!(answer.contains("nobody: is in no repository"), "{answer}");
    }
    master.write("deletion-list", "gone\nolder\n");
    let event = format!(
        "1\tdeleted\t{}\t-\tblacklisted by gone*\n",
        master.order("gone").replace(' ', "\t")
    );
    master.write("journal", &event);
    let answer = ask(&master, &["keep", "gone", "older", "a"]).expect(0).stdout;
    assert_eq!(
        answer,
        "gone: is on the deletion list: blacklisted by gone*\n\
         older: is on the deletion list: the journal does not go back so far\n\
         a: is not on the deletion list\n"
    );
}

#[test]
fn an_unknown_action_is_a_mistake() {
    let master = Master::new(&["a"]);
    let ended = ask(&master, &["eat", "a"]).expect(64);
    assert!(ended.stderr.contains("Usage"), "{}", ended.stderr);
    ask(&master, &["build"]).expect(64);
    assert!(ask(&master, &["--help"]).expect(0).stdout.contains("Usage"));
}
