//! Packages with programs that a real assembler and a real linker have made.

use std::fs;
use std::path::{Path, PathBuf};

use common::atomic;
use common::process::Command;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::tool::Tool;

/// What each processor of the list is the first to have: its name, what it is called, an instruction.
const FIRST: [(&str, &str, &str); 14] = [
    ("i586", "CX8", "cmpxchg8b (%eax)"),
    ("i586", "TSC", "rdtsc"),
    ("i686", "CMOV", "cmove %eax, %ebx"),
    ("i686", "MULTIBYTENOP", "nopl (%eax)"),
    ("i686", "CET_IBT", "endbr32"),
    ("pentium3", "MMX", "emms"),
    ("pentium3", "SSE", "addps %xmm0, %xmm1"),
    ("pentium4", "SSE2", "addpd %xmm0, %xmm1"),
    ("x86_64_v2", "POPCNT", "popcnt %eax, %ebx"),
    ("x86_64_v2", "SSSE3", "pshufb %xmm0, %xmm1"),
    ("x86_64_v3", "AVX2", "vpaddd %ymm0, %ymm1, %ymm2"),
    ("x86_64_v3", "LZCNT", "lzcnt %eax, %ebx"),
    ("x86_64_v4", "AVX512F", "vpaddd %zmm0, %zmm1, %zmm2"),
    ("none", "AES", "aesenc %xmm0, %xmm1"),
];
const LEVELS: [&str; 9] = [
    "i486",
    "i586",
    "i686",
    "pentium3",
    "pentium4",
    "x86_64",
    "x86_64_v2",
    "x86_64_v3",
    "x86_64_v4",
];
/// What every processor runs: CPUID, and a count of zeros that old ones take for BSF.
const PLAIN: &str = "xadd %eax, %ebx; cpuid; fsin; pause; tzcnt %eax, %ebx; ret";

struct House {
    directory: tempfile::TempDir,
}

impl House {
    /// `None` without the programs.
    fn new() -> Option<Self> {
        need::programs(&["as", "ld"]).then(|| Self {
            directory: tempfile::tempdir().expect("there is room"),
        })
    }

    /// An object file.
    fn assemble(&self, bits: u32, code: &str) -> Vec<u8> {
        let (source, object) = (self.directory.path().join("a.s"), self.directory.path().join("a.o"));
        let text = format!(".globl _start\n_start: {code}\n");
        atomic::write(&source, text.as_bytes()).expect("there is room");
        Command::new("as")
            .args([&format!("--{bits}"), "-o"])
            .args([&object, &source])
            .run()
            .expect("it is assembled");
        fs::read(object).expect("an object file")
    }

    fn package(&self, arch: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let spec = PackageSpec::new("a", "1-1").arch(arch);
        let spec = files
            .iter()
            .fold(spec, |spec, (path, content)| spec.file(path, content));
        spec.write(self.directory.path()).expect("there is room")
    }
}

/// Exit code and standard output.
fn check(options: &[&str], package: &Path) -> (i32, String) {
    let tool = Tool::at(env!("CARGO_BIN_EXE_check-opcodes").as_ref());
    let ended = tool.args(options).args([package]).run();
    (ended.code, ended.stdout)
}

#[test]
fn each_processor_can_do_what_those_before_it_can_and_no_more() {
    let Some(house) = House::new() else { return };
    let code: String = FIRST
        .iter()
        .map(|(_, _, instruction)| format!("{instruction}; "))
        .collect();
    let file = house.assemble(32, &format!("{PLAIN}; {code}"));
    let package = house.package("i686", &[("usr/bin/a", &file)]);
    for (position, level) in LEVELS.iter().enumerate() {
        let can = |first: &str| LEVELS[..=position].contains(&first);
        let mut missing: Vec<&str> = FIRST
            .iter()
            .filter(|(first, _, _)| !can(first))
            .map(|(_, name, _)| *name)
            .collect();
        missing.sort_unstable();
        let missing: Vec<String> = missing.iter().map(|name| format!("{name}=1")).collect();
        let expected = format!("a-1-1-i686.pkg.tar.zst: usr/bin/a: {}\n", missing.join(" "));
        assert_eq!(check(&["-a", level], &package), (1, expected), "{level}");
    }
    assert_eq!(check(&[], &package), check(&["-a", "i686"], &package));
}

#[test]
fn what_is_in_order_says_nothing() {
    let Some(house) = House::new() else { return };
    let file = house.assemble(32, PLAIN);
    for arch in ["i486", "x86_64"] {
        let package = house.package(arch, &[("usr/bin/a", &file), ("usr/share/a", b"text"), ("usr/b", b"")]);
        assert_eq!(check(&[], &package), (0, String::new()), "{arch}");
    }
    let wide = house.assemble(64, "mov %rax, %rbx; syscall; addpd %xmm0, %xmm1; ret");
    let package = house.package("x86_64", &[("usr/bin/a", &wide)]);
    assert_eq!(check(&[], &package), (0, String::new()));
}

#[test]
fn programs_of_64_bits_do_not_belong_into_packages_for_32() {
    let Some(house) = House::new() else { return };
    let file = house.assemble(64, "ret");
    let package = house.package("pentium4", &[("usr/bin/a", &file), ("usr/lib/debug/a", &file)]);
    let expected = "a-1-1-pentium4.pkg.tar.zst: usr/bin/a: 64-bit=1\n";
    assert_eq!(check(&[], &package), (1, expected.to_owned()));
}

#[test]
fn instructions_are_shown_where_they_are_with_and_without_sections() {
    let Some(house) = House::new() else { return };
    house.assemble(32, "nop; cmove %eax, %ebx; ret");
    let [object, program] = ["a.o", "a"].map(|name| house.directory.path().join(name));
    Command::new("ld")
        .args(["-m", "elf_i386", "-Ttext=0x8048000", "-o"])
        .args([&program, &object])
        .run()
        .unwrap();
    let mut file = fs::read(program).unwrap();
    let shown = |file: &[u8]| {
        let (code, out) = check(&["-d"], &house.package("i486", &[("usr/bin/a", file)]));
        assert_eq!(code, 1);
        out.lines()
            .any(|line| line.ends_with("usr/bin/a: CMOV: 8048001: cmove ebx,eax"))
    };
    assert!(shown(&file));
    // e_shoff, then e_shentsize, e_shnum and e_shstrndx.
    file[32..36].fill(0);
    file[46..52].fill(0);
    assert!(shown(&file));
    let package = house.package("i486", &[("usr/bin/a", &file)]);
    let (code, json) = check(&["--json"], &package);
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(code, 1);
    assert_eq!(found[0]["file"], "usr/bin/a");
    assert_eq!(found[0]["instructions"]["CMOV"]["count"], 1);
}

#[test]
fn other_machines_and_damaged_files_have_no_code_and_what_is_no_package_is_said() {
    let Some(house) = House::new() else { return };
    let whole = house.assemble(32, "cmove %eax, %ebx");
    let mut arm = whole.clone();
    arm[18] = 40;
    let cut = &whole[..40];
    let package = house.package("i486", &[("usr/arm", &arm), ("usr/cut", cut)]);
    assert_eq!(check(&[], &package), (0, String::new()));
    let any = house.package("any", &[("usr/bin/a", &whole)]);
    assert_eq!(check(&[], &any), (0, String::new()));
    assert_eq!(check(&["-a", "i486"], &any).0, 1);
    let none = house.directory.path().join("a-2-1-i486.pkg.tar.zst");
    atomic::write(&none, b"what is this").unwrap();
    assert_eq!(check(&[], &none).0, 65);
    assert_eq!(check(&[], &house.directory.path().join("a-3-1-i486.pkg.tar.zst")).0, 74);
    assert_eq!(check(&["-a", "z80"], &any).0, 64);
}
