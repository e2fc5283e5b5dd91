//! What users see: one root that real pacman upgrades over HTTP while packages go through staging and testing to stable,
//! and downgrades after a rollback.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::path::PathBuf;

use testkit::gpg::GpgHome;
use testkit::master::Master;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::reader::Reader;
use testkit::tool::Ended;
use testkit::web::Web;

/// A library and a program that needs its very version, so that only both together can be upgraded.
const PACKAGES: [&str; 2] = ["lib", "app: lib"];

struct House {
    master: Master,
    key: GpgHome,
}

impl House {
    fn new() -> Self {
        let (master, key) = (Master::new(&PACKAGES), GpgHome::new("port").unwrap());
        master.configure(&format!(
            "repo_key={0}\ngnupg_home='{1}'\nkeyring='{1}'\nmax_package_age_testing=1000\n\
             stable_package_repositories=core\ntesting_package_repositories=testing\n\
             staging_package_repositories=staging\n",
            key.fingerprint(),
            key.path().display()
        ));
        Self { master, key }
    }

    /// A builder builds and returns everything on the list: the library, then the program.
    fn build(&self, number: u32) {
        let version = format!("1-1.{number}");
        for spec in [
            PackageSpec::new("lib", &version),
            PackageSpec::new("app", &version).depends(&format!("lib={version}")),
        ] {
            let place = tempfile::tempdir_in(self.master.root()).unwrap();
            let path = spec.arch("any").write(place.path()).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap()[..3].to_owned();
            let asked = self.master.ask("s1", &[&name]).expect(0);
            assert_eq!(asked.stdout, format!("{} {number}\n", self.master.order(&name)));
            let upload = tar(&[self.key.sign(&path).unwrap(), path]);
            self.master
                .tool("return-assignment", "s1")
                .args(self.master.order(&name).split(' '))
                .args([number.to_string()])
                .stdin(upload)
                .run()
                .expect(0);
        }
    }

    fn db_update(&self, arguments: &[&str]) -> Ended {
        self.master.tool("db-update", "-").args(arguments).run().expect(0)
    }

    /// Moves what has just come into testing on to stable.
    fn approve(&self) {
        for name in ["lib", "app"] {
            let state = |state| self.master.path(&self.master.fact(name, state));
            std::fs::rename(state("testing"), state("tested")).unwrap();
        }
        self.db_update(&[]);
    }
}

fn tar(files: &[PathBuf]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for path in files {
        builder.append_path_with_name(path, path.file_name().unwrap()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn both(version: &str) -> String {
    format!("app {version}\nlib {version}\n")
}

#[test]
fn one_root_is_upgraded_through_staging_testing_and_stable_and_downgraded_after_a_rollback() {
    if !need::programs(&["pacman", "fakeroot", "gpg"]) {
        return;
    }
    let mut house = House::new();
    house.build(0);
    house.db_update(&[]);
    house.approve();
    let Some(web) = Web::serve(&house.master.state().join("repositories")) else {
        return;
    };
    let reader = Reader::new(house.master.root(), &web, &house.key);
    reader.follow(&["core"]);
    reader.pacman(&["-Sy", "app"]).expect(0);
    assert_eq!(reader.installed(), both("1-1.0"));

    // A build a stage: the root gets it from there, and not before it asks for that stage.
    for (number, followed) in [(1, ["staging", "core"]), (2, ["testing", "core"])] {
        house.master.release(&PACKAGES);
        house.build(number);
        if followed[0] == "testing" {
            house.db_update(&[]);
        }
        let (before, after) = (format!("1-1.{}", number - 1), format!("1-1.{number}"));
        reader.pacman(&["-Syu"]).expect(0);
        assert_eq!(reader.installed(), both(&before), "{followed:?}");
        reader.follow(&followed);
        reader.pacman(&["-Syu"]).expect(0);
        assert_eq!(reader.installed(), both(&after), "{followed:?}");
        let fetched = format!(
            "GET /{}/os/x86_64/app-{after}-any.pkg.tar.zst HTTP/1.1\" 200",
            followed[0]
        );
        assert!(web.log().contains(&fetched), "{fetched}: {}", web.log());
    }
    house.master.release(&PACKAGES);
    house.build(3);
    house.db_update(&[]);
    house.approve();
    reader.follow(&["core"]);
    reader.pacman(&["-Syu"]).expect(0);
    assert_eq!(reader.installed(), both("1-1.3"));

    house.db_update(&["--rollback"]);
    reader.pacman(&["-Syu"]).expect(0);
    assert_eq!(reader.installed(), both("1-1.3"), "nobody is downgraded without -Syuu");
    reader.pacman(&["-Syuu"]).expect(0);
    assert_eq!(reader.installed(), both("1-1.0"));
    reader.follow(&["testing", "core"]);
    reader.pacman(&["-Syu"]).expect(0);
    assert_eq!(reader.installed(), both("1-1.3"), "it is in testing again");
    let log = web.log();
    assert!(!log.lines().any(|line| line.contains("\" 404 ")), "{log}");
}
