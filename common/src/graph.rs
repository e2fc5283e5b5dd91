//! The dependency engine: from the metadata of packages to a build order.
//!
//! [`Packages`] resolves dependencies by names, versioned provisions, sonames and groups; [`plan()`] orders the build
//! list by strongly connected components; [`closure()`] finds what cannot be built without blacklisted packages. All of
//! it is pure, and the same for the same packages in whatever sequence they are given.

mod blacklist;
mod components;
mod packages;
mod plan;

pub use blacklist::{Exclusion, closure};
pub use packages::Packages;
pub use plan::{Dropped, Plan, Reason, plan};
