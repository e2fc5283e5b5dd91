//! Real `.SRCINFO` files of a port: every one is read, or named.

use common::srcinfo::{SrcInfo, SrcInfoError};
use testkit::distribution;

#[test]
fn every_srcinfo_of_a_port_is_read_and_only_empty_ones_are_refused() {
    let Some(data) = distribution::data() else { return };
    let arch = "powerpc".parse().unwrap();
    let mut count = 0;
    let mut refused = Vec::new();
    for (name, text) in distribution::srcinfos(&data) {
        count += 1;
        match SrcInfo::parse(&text, &arch) {
            Ok(info) => assert!(!info.packages.is_empty(), "{name}"),
            Err(error) => {
                assert_eq!((text.trim(), error), ("", SrcInfoError::Missing("pkgbase")), "{name}");
                refused.push(name);
            }
        }
    }
    assert_eq!((count, refused.len()), (4119, 19), "{refused:?}");
}
