//! Content that is large, deep, long or numerous: through a layer of commands, and through an archive's.

use std::path::Path;

use crate::support::{blueprint, shared, text, tool};

const MAKE: &str = "set -e; mkdir -p many; cd many
for d in $(seq 20); do mkdir $d; (cd $d; seq -f f%g 1000 | xargs touch); done; cd ..
long=$(printf 'x%.0s' $(seq 200)); (for i in $(seq 18); do mkdir $long; cd $long; done; echo long > file)
(for i in $(seq 500); do mkdir d; cd d; done; echo deep > file)
truncate -s 3G sparse; echo end >> sparse; touch owned; chown 4294967000:3000000000 owned\n";

/// What is found below the current directory.
const LOOK: &str = "find many -type f | wc -l; find xxx* -name file -exec cat {} +; find d -name file -exec cat {} + \
                    ; stat -c %s sparse; tail -c 4 sparse; stat -c %u:%g owned";

#[test]
fn large_deep_long_and_numerous() {
    let manifest = "name: Large\nversion: 1.0.0\nrun_order: [a.yml, b.yml]\nimage: {env_from_profile: false}\n";
    let script = format!(
        "- name: Make\n  action: run_command\n  reason: test\n  command: |\n    cd /srv\n    {}",
        MAKE.replace('\n', "\n    ")
    );
    let archive = "- {name: Unpack, action: unpack, source: large.tar.zst, dest: /opt/large}\n";
    let directory = blueprint(&[("manifest.yml", manifest), ("a.yml", &script), ("b.yml", archive)]);
    let made = tempfile::tempdir().unwrap();
    tool("sh", &["-c", &format!("cd {} && {MAKE}", text(made.path()))]).ok();
    let target = directory.path().join("large.tar.zst");
    let pack = format!("tar -c -S -C {} . | zstd -q -1 -o {}", text(made.path()), text(&target));
    tool("sh", &["-c", &pack]).ok();
    shared().build(&[text(directory.path()), "-t", "large"]);
    let expected = |owner: &str| format!("20000\nlong\ndeep\n{}\nend\n{owner}\n", (3_u64 << 30) + 4);
    for (place, owner) in [("/srv", "4294967000:3000000000"), ("/opt/large", "0:0")] {
        let ended = shared().run(&["run", "-w", place, "large", "sh", "-c", LOOK]).ok();
        assert_eq!(ended.stdout, expected(owner), "{place}");
    }
    assert!(Path::new(&target).metadata().unwrap().len() < 1 << 20);
}
