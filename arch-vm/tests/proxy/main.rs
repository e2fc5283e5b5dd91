//! The caching front of the mirrors as a process: before real web servers, before one that misbehaves, behind pacman.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod faulty;
mod front;

use std::fs;

use testkit::need;
use testkit::tool::Tool;

use faulty::{Faulty, Trouble};
use front::{Front, Mirror, PACKAGE, get};

#[test]
fn a_package_is_fetched_once_for_all_and_a_database_each_time() {
    let Some(mirror) = Mirror::start() else { return };
    let front = Front::start(&[&mirror.url()], "");
    let (url, package) = (front.url(PACKAGE), mirror.content(PACKAGE));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(get(&url, &[]).body, package));
        }
    });
    assert_eq!(get(&front.url(PACKAGE), &[]).body, package);
    for _ in 0..2 {
        assert_eq!(get(&front.url("core.db"), &[]).body, mirror.content("core.db"));
    }
    let log = mirror.log();
    let asked = |file: &str| {
        log.lines()
            .filter(|line| line.contains(&format!("/{file} HTTP")))
            .count()
    };
    assert_eq!(asked(PACKAGE), 1, "{log}");
    // The first package has to be compared with the database, too.
    assert_eq!(asked("core.db"), 3, "{log}");
}

#[test]
fn parts_of_a_kept_package_are_served() {
    let Some(mirror) = Mirror::start() else { return };
    let front = Front::start(&[&mirror.url()], "");
    let package = mirror.content(PACKAGE);
    for _ in 0..2 {
        let part = get(&front.url(PACKAGE), &["Range: bytes=1000-1999"]);
        assert_eq!((part.status, part.body.as_slice()), (206, &package[1000..2000]));
    }
    let old = front.url(PACKAGE).replace("/core/", "/proxy.cgi/core/");
    assert_eq!(get(&old, &[]).body, package);
}

#[test]
fn whatever_a_mirror_does_wrong_the_next_one_makes_good_and_no_error_is_kept() {
    let Some(mirror) = Mirror::start() else { return };
    let package = mirror.content(PACKAGE);
    for trouble in Trouble::ALL {
        let faulty = Faulty::start(package.clone(), trouble);
        let front = Front::start(&[&faulty.url(), &mirror.url()], "proxy_stall_seconds=1\n");
        let first = get(&front.url(PACKAGE), &[]);
        // Whoever had a part of what turned out to be wrong is cut off, and asks again.
        let is_cut = trouble == Trouble::OtherContent && first.body != package;
        assert!(
            is_cut || first.body == package,
            "{trouble:?}: {} bytes",
            first.body.len()
        );
        assert!(!is_cut || first.body.len() < package.len(), "{trouble:?}");
        assert_eq!(get(&front.url(PACKAGE), &[]).body, package, "{trouble:?}");
        assert_eq!(fs::read(front.kept(PACKAGE)).unwrap(), package, "{trouble:?}");
        assert!(faulty.count() > 0, "{trouble:?} was not asked");
        assert_eq!(front.unfinished(), 0, "{trouble:?}");
    }
}

#[test]
fn a_download_that_is_cut_goes_on_where_it_was() {
    let Some(mirror) = Mirror::start() else { return };
    let package = mirror.content(PACKAGE);
    let faulty = Faulty::start(package.clone(), Trouble::Cut);
    let front = Front::start(&[&faulty.url(), &mirror.url()], "");
    assert_eq!(get(&front.url(PACKAGE), &[]).body, package);
    let log = mirror.log();
    assert!(log.contains("\" 206 "), "{log}");
}

#[test]
fn what_no_mirror_gives_is_an_error_and_stays_one_only_as_long() {
    let Some(mirror) = Mirror::start() else { return };
    let absent = "absent-1-1-x86_64.pkg.tar.zst";
    let front = Front::start(&[&mirror.url()], "");
    for file in [absent, "absent-1-1-x86_64.pkg.tar.zst.sig", "other.db"] {
        assert_eq!(get(&front.url(file), &[]).status, 404, "{file}");
        assert!(!front.kept(file).exists());
    }
    for path in ["/etc/passwd", "/core/os/x86_64/..%2f..%2fx", "/core/os/x86_64/.4.lock"] {
        assert_eq!(get(&format!("{}{path}", front.address()), &[]).status, 404, "{path}");
    }
    let faulty = Faulty::start(Vec::new(), Trouble::Error);
    let broken = Front::start(&[&faulty.url()], "");
    assert_eq!(get(&broken.url(PACKAGE), &[]).status, 502);
    assert_eq!(get(&broken.url("core.db"), &[]).status, 502);
    mirror.add(absent);
    assert_eq!(get(&front.url(absent), &[]).body, mirror.content(absent));
}

#[test]
fn a_web_server_may_call_it_for_each_request() {
    let Some(mirror) = Mirror::start() else { return };
    let front = Front::start(&[&mirror.url()], "");
    let cgi = |file: &str| {
        Tool::new("arch-vm")
            .args(["--config".as_ref(), front.conf().as_os_str()])
            .args(["proxy", "--cgi", "--mirror", &mirror.template()])
            .env("REMOTE_ADDR", "127.0.0.1")
            .env("REQUEST_METHOD", "GET")
            .env("PATH_INFO", format!("/core/os/x86_64/{file}"))
            .run()
            .expect(0)
            .stdout
    };
    let text = "hello\n";
    mirror.write("lastupdate", text);
    let answer = cgi("lastupdate");
    assert!(
        answer.starts_with("Status: 200 OK\r\n") && answer.ends_with(&format!("\r\n\r\n{text}")),
        "{answer}"
    );
    assert!(cgi("absent.db").starts_with("Status: 404 "));
    // What one process kept, another serves.
    assert_eq!(get(&front.url(PACKAGE), &[]).status, 200);
    drop(cgi(PACKAGE));
    let asked = mirror.log().lines().filter(|line| line.contains(PACKAGE)).count();
    assert_eq!(asked, 1);
}

#[test]
fn pacman_installs_through_it() {
    if !need::programs(&["pacman", "fakeroot"]) {
        return;
    }
    let Some(mirror) = Mirror::start() else { return };
    let front = Front::start(&[&mirror.url()], "");
    let root = tempfile::tempdir().unwrap();
    let conf = root.path().join("pacman.conf");
    let text = format!(
        "[options]\nArchitecture = x86_64\nSigLevel = Never\n[core]\nServer = {}/$repo/os/$arch\n",
        front.address()
    );
    fs::create_dir_all(root.path().join("db")).unwrap();
    common::atomic::write(&conf, text.as_bytes()).unwrap();
    let pacman = |arguments: &[&str]| {
        Tool::at("fakeroot".as_ref())
            .args(["pacman", "--noconfirm", "--config"])
            .args([conf.as_os_str(), "--root".as_ref(), root.path().as_os_str()])
            .args(["--dbpath".as_ref(), root.path().join("db").as_os_str()])
            .args(["--cachedir".as_ref(), root.path().as_os_str()])
            .args(arguments)
            .run()
            .expect(0)
    };
    pacman(&["-Sy"]);
    pacman(&["-Sw", "large"]);
    assert_eq!(fs::read(root.path().join(PACKAGE)).unwrap(), mirror.content(PACKAGE));
    assert!(front.kept(PACKAGE).exists());
}
