//! openraft's own suite over our log and machine.

#[tokio::test(flavor = "multi_thread")]
async fn the_log_and_the_machine_keep_what_openraft_asks_of_them() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    roadstead_node::testing::conformance::run(directory.path().to_owned()).await;
}
