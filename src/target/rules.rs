//! Rules for udev that come in a Debian package, as vendors of probes ship them.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};

use layers::compress::decoder;
use layers::tar::{self, Kind, TarError};
use layers::unpack::{UnpackError, deb};

use super::TargetError;

/// Rules are texts: bytes of one file, and of all of a package.
const RULES_LIMIT: u64 = 1 << 20;
const ALL_RULES_LIMIT: usize = 8 << 20;

/// A file's name and content.
pub type NamedFile = (OsString, Vec<u8>);

/// Names and contents of the rules in a Debian package; `None` for a file that is none.
pub fn of_package(mut file: File) -> Result<Option<Vec<NamedFile>>, TargetError> {
    let mut magic = Vec::new();
    let failed = |error: std::io::Error| TargetError::Unpack(error.into());
    (&mut file).take(deb::MAGIC.len() as u64).read_to_end(&mut magic).map_err(failed)?;
    if magic != deb::MAGIC {
        return Ok(None);
    }
    file.rewind().map_err(failed)?;
    let (mut rules, mut total) = (Vec::new(), 0_usize);
    deb::member(file, "data.tar", |member| {
        let (_, reader) = decoder(member)?;
        tar::for_each::<_, UnpackError>(reader, |entry, content| {
            if entry.kind == Kind::File && entry.path.extension().is_some_and(|extension| extension == "rules") {
                let active = entry.path.parent().is_some_and(|parent| parent.ends_with("rules.d"));
                let bytes = tar::small(&entry, content, RULES_LIMIT)?;
                total += bytes.len() + entry.path.as_os_str().len();
                if total > ALL_RULES_LIMIT {
                    let path = entry.path.display().to_string();
                    return Err(
                        TarError::Member { path, problem: "and the rules before it have more than 8 MiB" }.into()
                    );
                }
                rules.push((active, tar::file_name(&entry.path).to_owned(), bytes));
            }
            Ok(())
        })?;
        Ok(())
    })?;
    // Beside rules that are meant for udev, those of examples are not.
    let active = rules.iter().any(|(active, ..)| *active);
    let rules: Vec<NamedFile> =
        rules.into_iter().filter(|rule| rule.0 || !active).map(|(_, name, content)| (name, content)).collect();
    if rules.is_empty() { Err(TargetError::NoRules) } else { Ok(Some(rules)) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use layers::tar::{Entry, TarWriter, plain_directory};

    use super::*;

    fn package(rules: &[(String, usize)]) -> File {
        let mut data = TarWriter::new(Vec::new());
        for (name, size) in rules {
            let path = format!("usr/lib/udev/rules.d/{name}.rules");
            let entry =
                Entry { kind: Kind::File, mode: 0o644, size: *size as u64, ..plain_directory(Path::new(&path)) };
            data.append(&entry, &mut std::io::repeat(b'#')).unwrap();
        }
        let data = compressed(&data.finish().unwrap());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(deb::MAGIC).unwrap();
        for (name, content) in [("debian-binary", &b"2.0\n"[..]), ("control.tar", &[]), ("data.tar", &data)] {
            let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len());
            file.write_all(header.as_bytes()).unwrap();
            file.write_all(content).unwrap();
        }
        file.rewind().unwrap();
        file
    }

    fn compressed(tar: &[u8]) -> Vec<u8> {
        let compression = "zstd:1".parse().unwrap();
        let mut encoder = layers::compress::Encoder::new(Vec::new(), compression).unwrap();
        encoder.write_all(tar).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn rules_are_limited_one_by_one_and_together() {
        let rules = |count: usize, size: usize| -> Vec<_> { (0..count).map(|n| (n.to_string(), size)).collect() };
        assert_eq!(of_package(package(&rules(7, 1 << 20))).unwrap().unwrap().len(), 7);
        let error = of_package(package(&rules(1, (1 << 20) + 1))).unwrap_err().to_string();
        assert!(error.contains("0.rules` is larger than what is read into memory"), "{error}");
        let error = of_package(package(&rules(30, 1 << 20))).unwrap_err().to_string();
        assert!(error.contains("have more than 8 MiB"), "{error}");
    }
}
