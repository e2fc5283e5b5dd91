//! The testkit: what the tests of several tools share.
