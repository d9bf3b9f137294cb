//! What a team knows of what is in its images: no machine pulls an image for a document.

use crate::support::team::{Team, digest};
use crate::support::{Store, text, tool};

/// Bytes that a build with every layer found may move.
const FEW: u64 = 64 << 10;

#[test]
fn documents_are_known_to_the_team_too() {
    let mut team = Team::new();
    team.attest = true;
    let image = team.image("team/image:1");
    let (first, _) = team.build(&Store::new(), &["-t", &image, "--push"]);
    team.proxy.reset();
    let store = Store::new();
    let (second, _) = team.build(&store, &["-t", &image, "--push"]);
    assert_eq!(digest(&second), digest(&first));
    // Whether they are there is asked, and nothing is looked into for them.
    assert!(team.proxy.bytes_out() < FEW && team.proxy.bytes_in() < FEW, "{:#?}", team.proxy.requests());
    assert_eq!(team.proxy.count("PUT", "/") + team.proxy.count("POST", "/"), 0, "{:#?}", team.proxy.requests());
    // Under another name in another place they are made once more, from what the team knows.
    team.proxy.reset();
    let other = team.image("team/other:1");
    team.build(
        &Store::new(),
        &["-t", &other, "--push", "--cache-from", &team.image("team/image"), "--cache-to", "none"],
    );
    assert!(team.proxy.bytes_out() < FEW, "{:#?}", team.proxy.requests());
    let sbom = |image: &str| Store::new().run(&["sbom", image]).ok().stdout;
    assert_eq!(sbom(&image), sbom(&other));
    assert!(sbom(&image).contains("SPDX-2.3"));
}

#[test]
fn what_is_in_an_image_is_left_by_whoever_has_its_layers() {
    let mut team = Team::new();
    // Built where nobody shared anything, or looked into anything.
    let store = Store::new();
    team.build(&store, &["-t", "x"]);
    team.attest = true;
    let image = |tag: &str| team.image(&format!("team/image:{tag}"));
    team.build(&store, &["-t", &image("1"), "--push"]);
    assert_eq!(team.names("team/image", "inventory-").len(), 1);
    team.proxy.reset();
    let (_, ended) = team.build(&Store::new(), &["-t", &image("2"), "--push"]);
    assert!(team.proxy.bytes_out() < FEW, "{:#?}", team.proxy.requests());
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    assert!(Store::new().run(&["sbom", &image("2")]).ok().stdout.contains("SPDX-2.3"));
}

#[test]
fn a_document_is_no_reason_to_pull_an_image() {
    let mut team = Team::new();
    let seed = Store::new();
    let cache = team.image("team/cache");
    // A seed that looks into nothing: an export of a build for nobody.
    team.build(&seed, &["-t", "x"]);
    seed.run(&["cache", "export", &cache]).ok();
    team.attest = true;
    team.proxy.reset();
    let runner = Store::new();
    let image = team.image("team/image:1");
    let (_, ended) = team.build(&runner, &["-t", &image, "--push", "--cache-from", &cache, "--cache-to", &cache]);
    assert!(team.proxy.bytes_out() < FEW, "{:#?}", team.proxy.requests());
    assert!(
        ended.stderr.contains("is without an SBOM") && ended.stderr.contains("provenance attached"),
        "{}",
        ended.stderr
    );
    // As the warning says: whoever wants it, pulls them.
    assert!(runner.run(&["sbom", &image]).ok().stdout.contains("SPDX-2.3"));
    let pushed = runner.run(&["push", &image]).ok();
    assert!(pushed.stderr.contains("SBOM and provenance attached"), "{}", pushed.stderr);
    assert!(Store::new().run(&["sbom", &image]).ok().stdout.contains("SPDX-2.3"));
    // And whoever has them next leaves it for all.
    team.build(&runner, &["-t", &image, "--push", "--cache-from", &cache, "--cache-to", &cache]);
    assert_eq!(team.names("team/cache", "inventory-").len(), 1);
}

#[test]
fn an_archive_that_is_elsewhere_is_not_pulled_for_a_document() {
    let mut team = Team::new();
    team.attest = true;
    let archive = team.blueprint.path().join("tool.tar");
    let script = "d=$0/lib/python3/dist-packages/gadget-1.5.dist-info; mkdir -p \"$d\" && \
        printf 'Metadata-Version: 2.1\\nName: gadget\\nVersion: 1.5\\n' > \"$d/METADATA\" && \
        head -c 300000 /dev/urandom > \"$0/tool\" && tar -cf \"$1\" -C \"$0\" .";
    tool("sh", &["-c", script, text(&team.blueprint.path().join("files")), text(&archive)]).ok();
    team.write("c.yml", "- {name: tool, action: unpack, source: tool.tar, dest: /opt/tool}\n");
    let image = |tag: &str| team.image(&format!("team/image:{tag}"));
    team.build(&Store::new(), &["-t", &image("1"), "--push"]);
    assert!(Store::new().run(&["sbom", &image("1")]).ok().stdout.contains("gadget"));
    // Another machine, where all below the archive is built anew.
    team.task("a", "another");
    team.proxy.reset();
    let (built, ended) = team.build(&Store::new(), &["-t", &image("2"), "--push"]);
    let layer = built["layers"][2]["digest"].as_str().unwrap();
    assert_eq!(team.proxy.count("GET", &format!("/blobs/{layer}")), 0, "{:#?}", team.proxy.requests());
    assert!(ended.stderr.contains("SBOM and provenance attached"), "{}", ended.stderr);
    assert!(Store::new().run(&["sbom", &image("2")]).ok().stdout.contains("gadget"));
}
