//! Removes the names of the wasm's functions. They are a tenth of the Worker, and the platform uses them only
//! in stack traces.
//!
//! They are removed from the deployed file and listed beside it, by the numbers that stack traces then have
//! (`wasm-function[3123]`).

use std::fmt::Write;

use anyhow::{Context, Result};
use wasmparser::{KnownCustom, Name, NameSectionReader, Parser, Payload};

/// Splits a module into one without names, otherwise the same byte for byte, and the list of its functions:
/// number and name per line.
pub(super) fn split(wasm: &[u8]) -> Result<(Vec<u8>, String)> {
    let (mut slim, mut list) = (Vec::with_capacity(wasm.len()), String::new());
    // The end of the last section. A section is reported by its contents, which follow its header.
    let mut end = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        let section = match &payload {
            Payload::Version { range, .. } => range.clone(),
            other => match other.as_section() {
                Some((_, range)) => range,
                None => continue,
            },
        };
        let begin = std::mem::replace(&mut end, usize::try_from(section.end)?);
        let whole = wasm.get(begin..end).context("its sections are not in order")?;
        match payload {
            Payload::CustomSection(custom) => match custom.as_known() {
                KnownCustom::Name(names) => list = functions(names)?,
                _ => slim.extend_from_slice(whole),
            },
            _ => slim.extend_from_slice(whole),
        }
    }
    Ok((slim, list))
}

/// Returns the list of functions from the name section.
fn functions(names: NameSectionReader<'_>) -> Result<String> {
    let mut list = String::new();
    for name in names {
        if let Name::Function(functions) = name? {
            for function in functions {
                let function = function?;
                writeln!(list, "{} {}", function.index, function.name)?;
            }
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::split;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";
    const PRODUCERS: &[u8] = b"\0\x0a\x09producers";
    const TYPES: &[u8] = b"\x01\x01\0";
    /// The module's name, `m`, and those of the functions 3 and 200.
    const NAMES: &[u8] = b"\0\x14\x04name\0\x02\x01m\x01\x09\x02\x03\x01f\xc8\x01\x02gg";

    #[test]
    fn all_but_the_names_stays_as_it_is() {
        let wasm = [HEADER, PRODUCERS, NAMES, TYPES].concat();
        let (slim, _) = split(&wasm).unwrap();
        assert_eq!(slim, [HEADER, PRODUCERS, TYPES].concat());
    }

    #[test]
    fn functions_are_listed_by_number() {
        let (_, list) = split(&[HEADER, NAMES].concat()).unwrap();
        assert_eq!(list, "3 f\n200 gg\n");
    }

    #[test]
    fn a_module_without_names_has_an_empty_list() {
        let wasm = [HEADER, TYPES].concat();
        assert_eq!(split(&wasm).unwrap(), (wasm, String::new()));
    }

    #[test]
    fn what_is_no_module_is_not_split() {
        assert!(split(b"\0ASM\x01\0\0\0").is_err());
        let wasm = [HEADER, NAMES].concat();
        assert!(split(&wasm[..wasm.len() - 1]).is_err());
    }
}
