//! What a program uses that a processor need not have: every instruction is decoded, one after the other.
//!
//! Data between instructions is decoded, too, and may look like some. The crate `iced-x86` decodes: it says for each
//! instruction what it belongs to, and is written in Rust, as what reads strangers' files should be.

use std::collections::BTreeMap;

use iced_x86::{Decoder, DecoderOptions, FastFormatter, Instruction};
use serde::Serialize;

use crate::level::Level;
use crate::program::Program;

/// Instructions of a kind that are shown.
const SHOWN: usize = 10;

/// Instructions of one kind.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Uses {
    /// How many there are.
    pub(crate) count: u64,
    /// The first ones, with their addresses.
    pub(crate) first: Vec<String>,
}

/// What is used by what it belongs to.
pub(crate) type Found = BTreeMap<String, Uses>;

/// Looks through a program.
pub(crate) fn sweep(program: &Program<'_>, level: Level) -> Found {
    let mut found = Found::new();
    if program.bits == 64 && !level.has_64_bits() {
        found.entry("64-bit".to_owned()).or_default().count = 1;
        return found;
    }
    let mut formatter = FastFormatter::new();
    let mut instruction = Instruction::default();
    for part in &program.parts {
        let mut decoder = Decoder::with_ip(program.bits, part.bytes, part.address, DecoderOptions::NONE);
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            if instruction.is_invalid() {
                continue;
            }
            let Some(feature) = level.lacks(&instruction) else {
                continue;
            };
            let uses = found.entry(format!("{feature:?}")).or_default();
            uses.count += 1;
            if uses.first.len() < SHOWN {
                let mut text = String::new();
                formatter.format(&instruction, &mut text);
                uses.first.push(format!("{:x}: {text}", instruction.ip()));
            }
        }
    }
    found
}
