//! `register_binfmt`: programs of another architecture, started through an interpreter.

use super::FieldKind::{OneOf, Path, Text};
use super::{Action, Field, Fields, Lowered};
use crate::op::Op;
use crate::yaml::Diagnostic;

/// Architectures whose programs are told by well-known magic numbers.
const KNOWN: &[&str] =
    &["aarch64", "arm", "armeb", "i386", "mips", "mipsel", "ppc64le", "riscv32", "riscv64", "s390x", "x86_64"];

pub(super) static ACTION: Action = Action {
    name: "register_binfmt",
    summary: "Lets the kernel start programs of another architecture through QEMU; not in an image",
    fields: &[
        Field::required("architecture", OneOf(KNOWN), "The programs' architecture"),
        Field::required("interpreter", Path, "QEMU's static binary"),
        Field::optional("package", Text, "Package of the distribution that has it, installed first"),
    ],
    lower,
};

fn lower(fields: &mut Fields<'_>) -> Result<Lowered, Diagnostic> {
    let architecture = fields.one_of("architecture", KNOWN)?.to_owned();
    let interpreter = fields.path("interpreter")?;
    let package = fields.optional("package")?;
    let install = package.map(|package| Op::AptInstall {
        packages: vec![package],
        debs: Vec::new(),
        recommends: false,
        locked: None,
    });
    let mut ops: Vec<Op> = install.into_iter().collect();
    ops.push(Op::RegisterBinfmt { architecture, interpreter });
    Ok(Lowered { ops, written: None })
}
