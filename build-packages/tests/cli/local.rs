//! Builds without a master.

use common::process::Command;
use testkit::packaging::{FILE, Remote};
use testkit::tool::{Ended, Tool, must};

use crate::site::Site;

/// Makes what makepkg would make, out of what the PKGBUILD says.
const BUILD: &str = r#". ./PKGBUILD
echo "==> Starting build()..."
: >"$PKGDEST/$pkgname-$pkgver-$pkgrel-any.pkg.tar.zst"
"#;

/// A laptop: no master, no key, a build command.
struct Laptop(Site);

impl Laptop {
    fn new(build: &str) -> Self {
        let site = Site::new(build);
        let repositories = ["packages", "ours"].map(|name| {
            let path = site.path(&format!("{name}-remote.git"));
            drop(Remote::new(&path));
            path
        });
        drop(Remote::new(&repositories[0]).commit(&[(
            "a/repos/core-any/PKGBUILD",
            FILE,
            "pkgname=a\npkgver=1\npkgrel=1\narch=(any)\n",
        )]));
        drop(Remote::new(&repositories[1]).commit(&[("core/a/PKGBUILD", FILE, "pkgver=2\n")]));
        site.write(
            "builder.conf",
            &format!(
                "repo_names='packages ours'\nrepo_urls__packages='file://{}'\nrepo_urls__ours='file://{}'\n\
                 build_command='{}'\n",
                repositories[0].display(),
                repositories[1].display(),
                site.path("build").display(),
            ),
        );
        std::fs::create_dir_all(site.path("here/mine")).unwrap();
        site.write("here/mine/PKGBUILD", "pkgname=mine\npkgver=7\npkgrel=1\n");
        Self(site)
    }

    fn tool(&self, words: &[&str]) -> Tool {
        self.0.tool(words).directory(&self.0.path("here"))
    }

    fn run(&self, words: &[&str]) -> Ended {
        self.tool(words).run()
    }
}

#[test]
fn a_directory_is_built_without_a_master_and_its_packages_lie_in_it() {
    let laptop = Laptop::new(BUILD);
    let ended = laptop.run(&["--local", "./mine"]).expect(0);
    let package = laptop.0.path("here/mine/mine-7-1-any.pkg.tar.zst");
    assert_eq!(ended.stdout, format!("{}\n", package.display()));
    assert!(package.exists());
    let mut left: Vec<_> = std::fs::read_dir(laptop.0.path("here/mine"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["PKGBUILD", "mine-7-1-any.pkg.tar.zst"], "nothing else is left");
    let elsewhere = laptop.0.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let tool = laptop.tool(&["-l", "./mine"]).env("PKGDEST", &elsewhere);
    assert!(tool.run().expect(0).stdout.starts_with(elsewhere.to_str().unwrap()));
}

#[test]
fn a_package_is_built_at_the_heads_of_the_git_repositories() {
    let laptop = Laptop::new(BUILD);
    let ended = laptop.run(&["--local", "a"]).expect(0);
    assert!(ended.stdout.ends_with("/here/a-2-1.0-any.pkg.tar.zst\n"), "{ended:?}");
    let again = laptop.run(&["--local", "a", "--sub-pkgrel", "3"]).expect(0);
    assert!(again.stdout.ends_with("/here/a-2-1.3-any.pkg.tar.zst\n"), "{again:?}");
    for nowhere in ["./nothing", "."] {
        let ended = laptop.run(&["--local", nowhere]).expect(1);
        assert!(ended.stderr.contains("there is no PKGBUILD in"), "{ended:?}");
    }
    let unknown = laptop.run(&["--local", "nothing"]).expect(1);
    assert!(unknown.stderr.contains("no git repository has nothing"), "{unknown:?}");
}

#[test]
fn scenario_56_the_work_tree_is_built_as_it_is_without_the_master() {
    let laptop = Laptop::new(BUILD);
    let tree = laptop.0.path("tree");
    let remote = laptop.0.path("ours-remote.git");
    must(Command::new("git").args(["clone", "--quiet"]).arg(&remote).arg(&tree));
    laptop.0.configure(&format!("repo_paths__ours='{}'\n", tree.display()));
    common::atomic::write(&tree.join("core/a/PKGBUILD"), b"pkgver=not.committed\n").unwrap();
    let ended = laptop.run(&["-l", "a.packages-HEAD.work-tree.core"]).expect(0);
    assert!(
        ended.stdout.ends_with("/here/a-not.committed-1.0-any.pkg.tar.zst\n"),
        "{ended:?}"
    );
    let head = laptop.run(&["-l", "a.packages-HEAD.ours-HEAD.core"]).expect(0);
    assert!(head.stdout.ends_with("/here/a-2-1.0-any.pkg.tar.zst\n"), "{head:?}");
    assert_eq!(laptop.0.read("calls"), "", "the master was not asked");
}

#[test]
fn scenario_56_options_that_are_about_orders_of_a_master_do_not_go_with_a_local_build() {
    let laptop = Laptop::new(BUILD);
    for words in [
        &["-l", "a", "-n", "1"][..],
        &["-l", "a", "-p", "b"],
        &["-l", "a", "-t", "1"],
        &["-l", "a", "-x"],
        &["-u"],
        &["-l", "-x"],
    ] {
        laptop.run(words).expect(64);
    }
    let ended = laptop.run(&["-l", "./mine", "-u"]).expect(64);
    assert!(ended.stderr.contains("no order of the master's"), "{ended:?}");
}

#[test]
fn a_local_build_climbs_the_ladder_and_says_where_its_logs_are() {
    let laptop = Laptop::new("echo no luck today; exit 1");
    let ended = laptop
        .run(&["--local", "./mine", "-s", ":", "-s", ":clean_chroot:"])
        .expect(1);
    assert!(
        ended.stdout.is_empty()
            && ended.stderr.contains("the logs are in")
            && ended.stderr.contains(" with :clean_chroot:, at last: no luck today\n"),
        "{ended:?}"
    );
    assert_eq!(laptop.0.read("builds"), "\n-c\n");
    let logs = laptop.0.path(".local/state/portsmith/builds/local.mine/logs");
    assert_eq!(std::fs::read_dir(logs).unwrap().count(), 2);
}

#[test]
fn the_build_command_finds_a_configuration_that_was_named_from_here() {
    let laptop = Laptop::new(&format!("[ -r \"$PORTSMITH_CONFIG\" ] || exit 1\n{BUILD}"));
    let tool = Tool::new("build-packages").env("HOME", laptop.0.path(""));
    let tool = tool.args(["--config", "../builder.conf", "--local", "./mine"]);
    tool.directory(&laptop.0.path("here")).run().expect(0);
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error_and_the_package_is_there() {
    let laptop = Laptop::new(BUILD);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let command = laptop.tool(&["--local", "./mine"]).into_command();
    let ended = command.output(common::process::Output::Stdout(full)).wait().unwrap();
    assert_eq!(ended.status.code(), Some(74));
    assert!(laptop.0.path("here/mine/mine-7-1-any.pkg.tar.zst").exists());
}

#[test]
fn the_result_of_a_local_build_of_an_order_can_be_returned() {
    let laptop = Laptop::new(BUILD);
    let site = &laptop.0;
    for line in [
        format!(
            "master=ssh://slave@master.example\nssh_command='{}'\n",
            site.path("ssh").display()
        ),
        "builder_name=one\n".to_owned(),
        "require_signatures=no\n".to_owned(),
    ] {
        laptop.run(&["-l", "a", "-u"]).expect(78);
        assert_eq!(site.read("builds"), "", "nothing is built in vain");
        site.configure(&line);
    }
    laptop.run(&["-l", "a", "-u", "--sub-pkgrel", "1"]).expect(0);
    assert!(
        site.read("calls").trim_end().ends_with(" core 1"),
        "{}",
        site.read("calls")
    );
    assert_eq!(site.uploaded(0), ["a-2-1.1-any.pkg.tar.zst"]);
}

#[test]
fn on_a_terminal_a_line_says_how_far_it_is() {
    let laptop = Laptop::new(&format!(
        "echo '==> Starting check()...'\necho all is well\nsleep 1\n{BUILD}"
    ));
    let command = format!(
        "{} --config {} --local ./mine",
        testkit::tool::program("build-packages").display(),
        laptop.0.path("builder.conf").display()
    );
    let run = |term: &str| {
        must(
            Command::new("script")
                .args(["--quiet", "--return", "--command", &command, "/dev/null"])
                .directory(laptop.0.path("here"))
                .env("HOME", laptop.0.path(""))
                .env("TERM", term),
        )
    };
    let said = run("xterm");
    assert!(
        said.contains("mine: check 0:0") && said.contains("KiB: all is well"),
        "{said:?}"
    );
    assert!(!run("dumb").contains("KiB"));
}
