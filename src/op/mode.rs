//! What a mode makes of the bits that are there.

use super::Mode;

impl Mode {
    /// The bits of a file, or directory, that had `before`.
    pub fn apply(&self, before: u32, directory: bool) -> u32 {
        match self {
            Self::Octal(bits) => *bits,
            Self::Symbolic(text) => symbolic(text, before, directory),
        }
    }
}

/// Applies chmod's symbolic form to `mode` (POSIX.1-2024, `chmod`, "Extended description"), with a umask of 022.
/// The syntax was checked when the blueprint was read; what is not understood changes nothing.
fn symbolic(text: &str, mut mode: u32, directory: bool) -> u32 {
    for clause in text.split(',') {
        let end_of_who = clause.find(['+', '-', '=']).unwrap_or(clause.len());
        let (who, mut actions) = clause.split_at(end_of_who);
        let named = who.chars().fold(0, |bits, c| {
            bits | match c {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                _ => 0o7777,
            }
        });
        // With nobody named, everybody is meant, but for the bits of the umask.
        let (who, masked) = if named == 0 { (0o7777, 0o022) } else { (named, 0) };
        while let Some(operator) = actions.chars().next() {
            actions = &actions[1..];
            let end = actions.find(['+', '-', '=']).unwrap_or(actions.len());
            let (permissions, rest) = actions.split_at(end);
            actions = rest;
            let bits = permission_bits(permissions, mode, directory) & who & !masked;
            mode = match operator {
                '+' => mode | bits,
                '-' => mode & !bits,
                _ => (mode & !(who & 0o777) & !(special_of(named))) | bits,
            };
        }
    }
    mode
}

/// Set-id bits that `=` clears: those of the ones named.
fn special_of(named: u32) -> u32 {
    named & 0o6000
}

fn permission_bits(permissions: &str, mode: u32, directory: bool) -> u32 {
    permissions.chars().fold(0, |bits, c| {
        bits | match c {
            'r' => 0o444,
            'w' => 0o222,
            'x' => 0o111,
            'X' if directory || mode & 0o111 != 0 => 0o111,
            's' => 0o6000,
            't' => 0o1000,
            'u' => copied(mode >> 6),
            'g' => copied(mode >> 3),
            'o' => copied(mode),
            _ => 0,
        }
    })
}

/// One class's permissions for all classes.
fn copied(class: u32) -> u32 {
    (class & 7) * 0o111
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbolic_modes_as_chmod_has_them() {
        for (text, before, directory, after) in [
            ("u+x", 0o644, false, 0o744),
            ("u+x,go-r", 0o644, false, 0o700),
            ("a+X", 0o644, false, 0o644),
            ("a+X", 0o644, true, 0o755),
            ("g=u", 0o640, false, 0o660),
            ("o=", 0o777, false, 0o770),
            ("u+s", 0o755, false, 0o4755),
            ("+t", 0o777, true, 0o1777),
            ("+w", 0o444, false, 0o644),
            ("u=rwx,g=rx,o=rx", 0o6600, false, 0o755),
            ("a=r+x", 0o000, false, 0o555),
        ] {
            assert_eq!(symbolic(text, before, directory), after, "{text} on {before:o}");
        }
    }
}
