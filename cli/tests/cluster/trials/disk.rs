//! A node's disk is full.

use std::fs;
use std::process::Command;
use std::time::Duration;

use roadstead_loadtest::history::check;

use super::leader::until_accepted;
use super::measured;
use crate::process::until;
use crate::world::{THREE, World};
use crate::writers::Writers;

const PATIENCE: Duration = Duration::from_secs(60);

/// A small disk; unmounted when dropped.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(path: &std::path::Path) -> Result<Self, String> {
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(path).output();
        let output = output.map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(Self(path.to_owned()))
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let _ =
            Command::new("dd").args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}/filler", self.0.display())).output();
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn a_leader_whose_disk_is_full_stops_neither_writes_nor_pulls() {
    let mut world = World::start("disk", THREE).await;
    let image = world.stage.make("library/image:1", 15, &[500_000], false).await;
    // One node moves to a small disk.
    let (data, aside) = (world.path().join("node2"), world.path().join("node2.aside"));
    world.nodes[1].stop().await;
    fs::rename(&data, &aside).unwrap();
    fs::create_dir(&data).unwrap();
    let disk = match Disk::mount(&data) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("    skipped: a node whose disk is full: this needs a disk of its own: {reason}");
            return;
        }
    };
    let copied = Command::new("cp").args(["-a", &format!("{}/.", aside.display())]).arg(&data).status().unwrap();
    assert!(copied.success());
    let World { nodes, network, .. } = &mut world;
    nodes[1].start(network);
    world.until_level().await;
    world.administer(&["transfer", "--to", "2"]);
    until("the node with the small disk leads", PATIENCE, async || world.leader().await == Some(1)).await;

    let writers = Writers::start(8, 11, || world.meta());
    until("writes go on", PATIENCE, async || writers.acknowledged() > 200).await;
    disk.fill();
    // It may have had room for a little more: what counts is that writes go on for good.
    let goal = writers.acknowledged() + 3_000;
    until("writes go on without it", PATIENCE, async || writers.acknowledged() >= goal).await;
    measured!(
        "a write was accepted after {:.2?}; its own process {}",
        until_accepted(&world).await,
        if world.nodes[1].runs() { "still runs" } else { "has ended" }
    );
    world.pulled(&image, world.balancer, 6, PATIENCE).await;

    disk.make_room();
    if world.nodes[1].runs() {
        world.nodes[1].kill();
    } else {
        world.nodes[1].bury();
    }
    let World { nodes, network, .. } = &mut world;
    nodes[1].start(network);
    measured!("with room again it had caught up after {:.2?}", world.until_level().await);
    let meta = world.meta();
    let history = writers.history(&meta).await;
    check(&history).unwrap_or_else(|verdict| panic!("{verdict}"));
    measured!("{} writes acknowledged, none lost", history.acknowledged());
}
