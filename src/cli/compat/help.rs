//! Help and version of the names of the existing tools: what is there under each, and what it does where nobody says
//! otherwise.

use super::Name;

const PROVISIONER: &str = "\
alloy-provisioner: installs blueprints on this machine. alloy answers to this name.

Usage:
  alloy-provisioner [install] [NAME[:TAG]] [FLAGS]
  alloy-provisioner clone NAME[:TAG] [FLAGS]
  alloy-provisioner clone --list PROJECT
  alloy-provisioner catalog update|search|info|add [FLAGS]

Commands:
  install  Install a blueprint: the one in a directory, or a published one. It is what no command means
  clone    Put a published blueprint into a directory, or bring the clone that is there up to date
  catalog  Look toolchains, SDKs and tools up
  version  Say the version

Flags, with one dash or two:
  -blueprint-dir DIR  The blueprint, or where a published one is put; of `clone`, what has blueprints/NAME in it
  -env-file FILE      Variables, ALLOY_REGISTRY and its credentials included
  -registry HOST      Where published blueprints are
  -tag TAG            Which one of them
  -docker, -wsl2      Leave out what is not for containers, or not for WSL2
  -dry-run            Say what would be done

Where nobody says otherwise:
  registry                    api.alloy-it.io (ALLOY_REGISTRY)
  blueprint                   ~/.alloy-it if it has a manifest.yml, else where you are (ALLOY_BLUEPRINT_DIR)
  clones                      ~/.alloy-it/blueprints/NAME
  variables                   .env beside the manifest

`alloy-provisioner COMMAND -h` names all flags of a command. `alloy help` says what else there is: the same blueprint
becomes an image with `alloy build`.
";

const HOST: &str = "\
alloy-host: looks after blueprints and the catalog. alloy answers to this name.

Usage:
  alloy-host validate [DIR]
  alloy-host resolve [DIR] [FLAGS]
  alloy-host catalog update|search|info|add [FLAGS]

Commands:
  validate  Say what is wrong with a blueprint
  resolve   Pin the toolchains of a blueprint in its lockfile, anew if they are pinned
  catalog   Look toolchains, SDKs and tools up
  version   Say the version

Flags, with one dash or two:
  -blueprint-dir DIR  The blueprint [default: where you are]
  -catalog DIR        The catalog [default: ~/.alloy-it/catalog, if it is there]

`alloy-host COMMAND -h` names all flags of a command. Of virtual machines (init, up, ssh, provision, stop, destroy) alloy
has none: `alloy build` makes an image of a blueprint, `alloy run` runs it, and `alloy install` installs the blueprint on
this machine.
";

const CICD: &str = "\
alloy-cicd: checks and pins blueprints in pipelines. alloy answers to this name.

Usage:
  alloy-cicd validate [--dir DIR]
  alloy-cicd resolve [--dir DIR] [--catalog-dir DIR] [--host-platform OS/ARCH] [--dry-run]
  alloy-cicd catalog update|search|info|add [FLAGS]

Commands:
  validate  Say what is wrong with a blueprint
  resolve   Pin the toolchains of a blueprint in its lockfile
  catalog   Look toolchains, SDKs and tools up
  version   Say the version

`alloy-cicd COMMAND -h` names all flags of a command. What `pipeline` did are three commands:

  alloy check DIR
  alloy lock DIR --toolchains-only --update --catalog CATALOG
  alloy publish DIR REGISTRY/REPOSITORY:TAG --format hub --allow-unpinned

`alloy lock DIR` pins all that is downloaded, too; then `publish` needs no --allow-unpinned.
";

impl Name {
    /// What `-h` says under this name.
    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Provisioner => PROVISIONER,
            Self::Host => HOST,
            Self::Cicd => CICD,
        }
    }

    /// What `-version` says under this name.
    pub(super) fn version(self) -> String {
        format!("{} {} (alloy)\n", self.text(), env!("CARGO_PKG_VERSION"))
    }
}
