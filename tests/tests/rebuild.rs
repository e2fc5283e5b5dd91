//! A rebuild is one pipeline: what show-dependencies prints, seed-build-list puts on the build list.

use testkit::master::Master;
use testkit::packaging::srcinfo;
use testkit::tool::Tool;

#[test]
fn what_a_query_prints_comes_onto_the_list_in_build_order_with_its_reasons() {
    let packages = [
        ("lib", ""),
        ("middle", "lib"),
        ("top", "middle"),
        ("direct", "lib"),
        ("other", ""),
    ];
    let lines: Vec<String> = packages
        .iter()
        .map(|(name, needs)| format!("{name}: {needs}"))
        .collect();
    let master = Master::new(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for (name, needs) in packages {
        let needs = format!("makedepends = {needs}");
        let directory = master.root().join("metadata").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        common::atomic::write(&directory.join(".SRCINFO"), srcinfo(name, &[&needs]).as_bytes()).unwrap();
    }
    // Everything has been built.
    let revision = master.order("lib").split(' ').nth(1).unwrap().to_owned();
    master.write("packages.revision", &revision);
    master.write("build-list", "");
    let query = Tool::new("show-dependencies")
        .args(["--config".as_ref(), master.config().as_os_str()])
        .args(["-S".as_ref(), master.root().join("metadata").as_os_str()])
        .args(["dependents", "--transitive", "lib"]);
    let answer = query.run().expect(0).stdout;
    let seeded = master.tool("seed-build-list", "").stdin(answer).run().expect(0).stdout;
    assert_eq!(seeded, master.read("build-list"));
    let names: Vec<&str> = seeded.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["direct", "middle", "top"]);
    assert_eq!(master.read("build-graph"), "direct\nmiddle\ntop make:middle\n");
    let journal = master.read("journal");
    assert_eq!(journal.matches("\tscheduled\t").count(), 3);
    assert!(journal.contains("requested: "), "{journal}");
    // Asked again, nothing is left to do.
    let again = master.tool("seed-build-list", "").stdin("direct\nmiddle\ntop\n").run();
    assert_eq!(again.expect(0).stdout, "");
}
