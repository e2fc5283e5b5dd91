//! Taking back what was published: packages, their states and the build list together.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use common::config::Config;
use common::repository::Repositories;
use testkit::master::Master;
use testkit::package::PackageSpec;
use testkit::tool::Ended;

struct House {
    master: Master,
    repositories: Repositories,
}

impl House {
    fn new() -> Self {
        let master = Master::new(&["a", "b"]);
        master.configure("require_signatures=no\nmax_package_age_testing=1000\n");
        let directory = master.state().join("repositories");
        let text = format!("arch=x86_64\nrepo_dir='{}'\n", directory.display());
        Self {
            repositories: Repositories::open(&Config::from_text(&text).unwrap()).unwrap(),
            master,
        }
    }

    /// A builder builds and returns a package.
    fn build(&self, name: &str) {
        self.master.ask("s1", &[name]).expect(0);
        let place = tempfile::tempdir_in(self.master.root()).unwrap();
        let path = PackageSpec::new(name, "1-1.0").arch("any").write(place.path()).unwrap();
        let mut upload = tar::Builder::new(Vec::new());
        upload.append_path_with_name(&path, path.file_name().unwrap()).unwrap();
        self.master
            .give_back("s1", name, "0", upload.into_inner().unwrap())
            .expect(0);
    }

    fn db_update(&self, arguments: &[&str]) -> Ended {
        self.master.tool("db-update", "-").args(arguments).run()
    }

    fn approve(&self, name: &str) {
        let state = |state| self.master.path(&self.master.fact(name, state));
        std::fs::rename(state("testing"), state("tested")).unwrap();
    }

    fn published(&self, repository: &str) -> Vec<String> {
        let packages = self.repositories.packages(&repository.parse().unwrap()).unwrap();
        packages.iter().map(|entry| entry.name.to_string()).collect()
    }

    /// The states of packages, in order.
    fn states(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.master.path("package-states")).unwrap();
        let short = |name: String| {
            let (order, state) = name.rsplit_once('.').unwrap();
            format!("{}.{state}", order.split('.').next().unwrap())
        };
        let mut states: Vec<String> = entries
            .map(|entry| short(entry.unwrap().file_name().into_string().unwrap()))
            .collect();
        states.sort();
        states
    }

    fn numbers(&self) -> Vec<u64> {
        let records = self.repositories.transactions().unwrap();
        records.iter().map(|record| record.number).collect()
    }
}

#[test]
fn the_newest_transaction_is_taken_back_with_its_states_and_that_can_be_taken_back_too() {
    let house = House::new();
    house.build("a");
    house.db_update(&[]).expect(0);
    house.approve("a");
    house.db_update(&[]).expect(0);
    assert_eq!(
        (house.published("core"), house.states()),
        (vec!["a".to_owned()], vec![])
    );

    let order = house.master.order("a");
    let ended = house.db_update(&["--rollback", "-n"]).expect(0);
    let newest = house.numbers().pop().unwrap();
    assert_eq!(
        ended.stdout,
        format!("take back {newest} of core testing\norder \"{order}\" is tested again\n")
    );
    assert_eq!(house.published("core"), ["a"], "nothing was done");

    house.db_update(&["--rollback"]).expect(0);
    assert!(house.published("core").is_empty());
    assert_eq!(
        (house.published("testing"), house.states()),
        (vec!["a".to_owned()], vec!["a.tested".to_owned()])
    );
    let fact = house.master.read(&house.master.fact("a", "tested"));
    assert_eq!(fact, "a-1-1.0-any.pkg.tar.zst\n");
    let journal = house.master.read("journal");
    let last = journal.lines().last().unwrap();
    assert!(
        last.contains("\ttaken-back\ta\t") && last.ends_with(&format!("transaction {newest}: tested")),
        "{last}"
    );

    house.db_update(&["--rollback"]).expect(0);
    assert_eq!(
        (house.published("core"), house.states()),
        (vec!["a".to_owned()], vec![])
    );
    assert!(house.published("testing").is_empty());
}

#[test]
fn several_transactions_are_taken_back_together_as_far_as_the_build_list() {
    let house = House::new();
    let list = house.master.read("build-list");
    house.build("a");
    let returned = house.numbers().pop().unwrap();
    house.build("b");
    house.db_update(&[]).expect(0);
    assert_eq!(
        (house.published("testing").len(), house.master.read("build-list")),
        (2, String::new())
    );
    let ended = house.db_update(&["--rollback", "1000"]).expect(2);
    assert!(ended.stderr.contains("transaction 1000 is not remembered"), "{ended:?}");
    house.db_update(&["--rollback", &returned.to_string()]).expect(0);
    for repository in ["staging", "testing"] {
        assert!(house.published(repository).is_empty(), "{repository}");
    }
    assert_eq!((house.states(), house.master.read("build-list")), (vec![], list));
    // What was in the pool is not built under the same name again.
    assert_eq!(
        house.master.ask("s1", &["a"]).expect(0).stdout,
        format!("{} 1\n", house.master.order("a"))
    );
}

#[test]
fn a_rollback_without_a_past_or_with_another_task_is_refused() {
    let house = House::new();
    let ended = house.db_update(&["--rollback", "-n"]).expect(2);
    assert!(ended.stderr.contains("there is no transaction"), "{ended:?}");
    house.db_update(&["--rollback", "1", "--explain", "a"]).expect(64);
    house.db_update(&["--rollback", "x"]).expect(64);
}
