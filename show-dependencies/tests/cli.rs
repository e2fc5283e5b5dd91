//! The contract of the command: answers, exit codes, streams.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::path::Path;

use common::atomic;
use testkit::tool::{Ended, Tool};

const GRAPH: &str = "a make:b\nb run:c check:d\nc make:a\nd\ne run:a\n";

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    atomic::write(&directory.path().join("graph"), GRAPH.as_bytes()).unwrap();
    let info = |name: &str, more: &str| {
        let text = format!("pkgbase = {name}\n\tpkgver = 2\n\tpkgrel = 1\n{more}\npkgname = {name}\n");
        atomic::write(&directory.path().join(format!("{name}.srcinfo")), text.as_bytes()).unwrap();
    };
    info("libfoo", "\tprovides = libfoo.so=2-64\n");
    info("app", "\tdepends = libfoo.so=2-64\n\tmakedepends = tool\n");
    info("old", "\tdepends = libfoo<2\n");
    info("tool", "\tcheckdepends = app\n");
    info("tool-git", "\tprovides = tool=3\n");
    directory
}

fn ask(directory: &Path, question: &str) -> Ended {
    Tool::new("show-dependencies")
        .directory(directory)
        .args(question.split(' '))
        .run()
}

fn answer(directory: &Path, question: &str) -> String {
    ask(directory, question).expect(0).stdout
}

#[test]
fn a_build_graph_is_asked_who_waits_for_whom() {
    let directory = directory();
    let ask = |question: &str| answer(directory.path(), &format!("-g graph {question}"));
    assert_eq!(
        ask("needs b"),
        "c is needed by b as c (run)\nd is needed by b as d (check)\n"
    );
    assert_eq!(ask("--no-check needs b"), "c is needed by b as c (run)\n");
    assert_eq!(
        ask("needs b e"),
        "a is needed by e as a (run)\nc is needed by b as c (run)\nd is needed by b as d (check)\n"
    );
    assert_eq!(ask("dependents b d"), "a needs b (make)\nb needs d (check)\n");
    assert_eq!(ask("dependents a"), "c needs a (make)\ne needs a (run)\n");
    assert_eq!(ask("dependents -t --ignore-self a").lines().count(), 3);
    assert_eq!(ask("dependents -d 2 --makedepends-only a"), "c needs a (make)\n");
    assert_eq!(ask("order"), "d\nb\na\nc\ne\n");
    assert_eq!(
        ask("order --two-stage"),
        "d 1 -\nb 1 1\na 1 1\nc 1 1\nb 2 1\na 2 1\nc 2 1\ne 1 -\n"
    );
    assert_eq!(ask("order --dropped"), "b c run 1 run\n");
    assert_eq!(ask("loops"), "1 3 a b c\n");
    assert_eq!(ask("loops --break"), "c a make 1 1/1\n");
    assert_eq!(
        ask("why-before d e"),
        "e needs a (run)\na needs b (make)\nb needs d (check)\n"
    );
    assert_eq!(ask("why-before e d"), "e is not built before d but after it\n");
}

#[test]
fn packages_are_asked_in_their_own_words() {
    let directory = directory();
    let ask = |question: &str| answer(directory.path(), &format!("-S . {question}"));
    assert_eq!(ask("dependents libfoo"), "app needs libfoo.so=2-64 (run)\n");
    assert_eq!(ask("dependents libfoo.so=2-64"), "app needs libfoo.so=2-64 (run)\n");
    assert_eq!(ask("dependents libfoo.so=3-64"), "");
    assert_eq!(ask("dependents libfoo<2"), "old needs libfoo<2 (run)\n");
    assert_eq!(
        ask("dependents -t -r libfoo"),
        "tool needs app (check)\napp needs libfoo.so=2-64 (run)\n",
        "a loop of two, which begins without its tests"
    );
    assert_eq!(
        ask("providers app"),
        "tool (make) by name: tool; also: tool-git\nlibfoo.so=2-64 (run) by provision: libfoo\n"
    );
    assert_eq!(
        ask("excluded libfoo"),
        "app needs libfoo.so=2-64, which only libfoo would provide; libfoo is blacklisted by libfoo\n\
         libfoo blacklisted by libfoo\n\
         tool needs app, which only app would provide; app needs libfoo.so=2-64, which only libfoo would provide; \
         libfoo is blacklisted by libfoo\n"
    );
    assert_eq!(
        ask("needs tool app"),
        "app is needed by tool as app (check)\nlibfoo is needed by app as libfoo.so=2-64 (run)\n\
         tool is needed by app as tool (make)\n"
    );
    let json: serde_json::Value = serde_json::from_str(&ask("--json dependents libfoo")).unwrap();
    assert_eq!(json[0]["pkgbase"], "app");
    assert_eq!(json[0]["kinds"][0], "run");
}

#[test]
fn each_answer_as_json_has_the_fields_of_its_lines() {
    let directory = directory();
    let fields = |question: &str| {
        let json: serde_json::Value = serde_json::from_str(&answer(directory.path(), question)).unwrap();
        let first = json.as_array().unwrap().first().expect(question).as_object().unwrap();
        first.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    let step = "kinds needer needs pkgbase steps";
    for (question, expected) in [
        ("-S . --json dependents libfoo", step),
        ("-S . --json needs app", step),
        ("-g graph --json dependents a", step),
        ("-g graph --json order", "loop pkgbase"),
        ("-g graph --json order --two-stage", "loop pkgbase stage"),
        ("-g graph --json order --dropped", "kinds loop needs pkgbase reason"),
        ("-g graph --json loops", "loop members size"),
        (
            "-g graph --json loops --break",
            "at_least edges kinds loop needs pkgbase",
        ),
        ("-g graph --json why-before d e", "pkgbase reason"),
        ("-S . --json excluded libfoo", "pkgbase why"),
        ("-S . --json providers app", "dependency from how kind others"),
    ] {
        assert_eq!(fields(question), expected, "{question}");
    }
    assert_eq!(
        answer(directory.path(), "-S . --json dependents libfoo.so=3-64"),
        "[]\n"
    );
}

#[test]
fn every_place_in_an_order_has_its_reason() {
    let directory = directory();
    atomic::write(
        &directory.path().join("more"),
        b"p\nq\nx make:y make:z\ny make:x\nz make:x\n",
    )
    .unwrap();
    let ask = |question: &str| answer(directory.path(), &format!("-g more {question}"));
    assert_eq!(ask("order"), "p\nq\nx\ny\nz\n");
    assert_eq!(
        ask("why-before p q"),
        "p comes before q by their names: neither needs the other\n"
    );
    assert_eq!(ask("why-before x z"), "z needs x (make)\n");
    assert_eq!(
        ask("why-before y z"),
        "y is in loop 1 with z, which begins there with less against the order\n"
    );
    assert_eq!(ask("order --dropped"), "x y make 1 break\nx z make 1 break\n");
}

#[test]
fn pairs_are_taken_as_by_tsort_and_loops_named() {
    let directory = directory();
    let order_of = |arguments: &str, pairs: Vec<u8>| {
        let arguments = arguments.split(' ').chain(["order"]);
        let tool = Tool::new("show-dependencies")
            .directory(directory.path())
            .args(arguments);
        tool.stdin(pairs).run()
    };
    let order = |arguments: &str, pairs: &str| order_of(arguments, pairs.into());
    let ended = order("--pairs -", "b c\na b\ta d\n d d\n").expect(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("a\nb\nc\nd\n", ""));
    let ended = order("-p -", "c a\na b\nb c\nc d").expect(0);
    assert_eq!(ended.stdout, "a\nb\nc\nd\n");
    assert_eq!(ended.stderr, "show-dependencies: dependency loop: a b c\n");
    assert_eq!(order("-p - -q", "a b b a").expect(0).stderr, "");
    assert_eq!(order("-p -", "").expect(0).stdout, "");
    let odd = order("-p -", "a b c").expect(65);
    assert!(odd.stderr.contains("odd") && odd.stdout.is_empty(), "{}", odd.stderr);
    let bad = order("-p -", "a b\nb ../c\n").expect(65);
    assert!(
        bad.stderr.contains("line 2: ") && bad.stdout.is_empty(),
        "{}",
        bad.stderr
    );
    order_of("-p -", b"a b\xff".into()).expect(65);
    let lines = ["c a", "a b", "b c", "c d", "e c", "x y", "y x", "a x"];
    let expected = order("-p - -q", &lines.join("\n")).expect(0).stdout;
    for first in 0..lines.len() {
        let shuffled: Vec<&str> = (0..lines.len())
            .map(|place| lines[(first + 3 * place) % lines.len()])
            .collect();
        assert_eq!(order("-p - -q", &shuffled.join("\n")).expect(0).stdout, expected);
    }
    order("-p absent", "").expect(74);
    order("-p - -g graph", "").expect(64);
}

#[test]
fn order_pairs_says_of_pairs_what_show_dependencies_says() {
    let directory = directory();
    let run = |tool: &str, arguments: &[&str], pairs: &[u8]| {
        let tool = Tool::new(tool).directory(directory.path()).args(arguments);
        let ended = tool.stdin(pairs.to_vec()).run();
        let said = ended
            .stderr
            .replace("order-pairs: ", "")
            .replace("show-dependencies: ", "");
        (ended.code, ended.stdout, said)
    };
    let inputs: [&[u8]; 6] = [
        b"b c\na b\ta d\n d d\n",
        b"c a\na b\nb c\nc d",
        b"",
        b"a b c",
        b"a b\nb ../c\n",
        b"a b\xff",
    ];
    for pairs in inputs {
        let ours = run("order-pairs", &[], pairs);
        assert_eq!(ours, run("show-dependencies", &["--pairs", "-", "order"], pairs));
    }
    let (code, stdout, stderr) = run("order-pairs", &["-"], inputs[1]);
    assert_eq!((code, stdout.as_str()), (0, "a\nb\nc\nd\n"));
    assert_eq!(stderr, "dependency loop: a b c\n");
    assert_eq!(run("order-pairs", &["-q", "-"], inputs[1]).2, "");
    assert_eq!(run("order-pairs", &["absent"], b"").0, 74);
}

#[test]
fn a_line_that_is_none_is_left_out_of_a_graph_with_all_its_names() {
    let directory = directory();
    atomic::write(
        &directory.path().join("bad"),
        b"a make:b\nb make:new love:c\nc make:../d\n",
    )
    .unwrap();
    let ended = ask(directory.path(), "-g bad order").expect(0);
    assert_eq!(ended.stdout, "b\na\n");
    for line in ["line 2: ", "line 3: "] {
        assert!(ended.stderr.contains(line), "{}", ended.stderr);
    }
}

#[test]
fn a_picture_marks_loops() {
    let directory = directory();
    let dot = answer(directory.path(), "-g graph --picture dot order");
    assert!(dot.contains("\"a\" [color=red];") && dot.contains("\"d\";"), "{dot}");
    assert!(dot.contains("\"b\" -> \"c\" [color=red style=dashed];"), "{dot}");
    let svg = answer(directory.path(), "-g graph --picture svg loops");
    assert_eq!(svg.matches("<rect").count(), 3, "{svg}");
    assert_eq!(svg.matches("stroke=\"red\"").count(), 6, "{svg}");
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
}

#[test]
fn each_mistake_has_its_exit_code() {
    let directory = directory();
    let code = |question: &str, code: i32| {
        let ended = ask(directory.path(), question).expect(code);
        assert_eq!(ended.stdout, "", "{question}");
        assert!(!ended.stderr.is_empty(), "{question}");
    };
    code("-g graph needs nobody", 2);
    code("-S . excluded nobody", 2);
    code("-g graph providers a", 64);
    code("--unknown", 64);
    code("-g graph -l order", 64);
    code("-g absent order", 74);
    code("-D absent.db order", 74);
    code("-l order", 78);
    assert!(answer(directory.path(), "--help").contains("Examples"));
}

#[test]
fn a_srcinfo_that_cannot_be_read_is_named_and_the_others_count() {
    let directory = directory();
    atomic::write(&directory.path().join("broken.srcinfo"), b"\n").unwrap();
    let ended = ask(directory.path(), "-S . order").expect(0);
    assert_eq!(ended.stdout.lines().count(), 5);
    assert!(ended.stderr.contains("broken.srcinfo is left out"), "{}", ended.stderr);
}
