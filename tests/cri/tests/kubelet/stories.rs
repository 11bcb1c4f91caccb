//! What is promised to the kubelet, a sentence each.

use std::process::{Command, ExitCode};

use cri::protocol as p;
use cri::protocol::ContainerEventType as Kind;
use libtest_mimic::{Arguments, Trial};
use serde_json::json;

use crate::client::{LIMIT, Node, only_running, until};

/// Plays those that are asked for.
pub(crate) fn play(arguments: &Arguments) -> ExitCode {
    if !arguments.list {
        for set in ["link set lo up", "addr add 10.9.0.1/32 dev lo"] {
            assert!(Command::new("ip").args(set.split(' ')).status().unwrap().success());
        }
    }
    macro_rules! stories {
        ($($story:ident)*) => { vec![$(Trial::test(stringify!($story), || {
            tokio::runtime::Runtime::new().unwrap().block_on($story());
            Ok(())
        })),*] };
    }
    let stories = stories! {
        a_container_answers_at_the_address_of_its_pod
        a_container_sees_its_own_machine_and_cannot_change_this_one
        what_a_container_says_is_in_its_log_by_the_time_it_has_ended
        a_program_that_is_not_there_fails_the_start
        what_runs_is_not_made_a_second_time_beside_itself
        sigterm_comes_first_and_sigkill_after_the_grace
        commands_run_within_the_container_and_end_in_time
        every_change_is_told_and_every_pod_again_and_again
        without_events_the_stream_is_not_implemented
        images_may_be_refused_and_starts_may_be_slow
        what_is_removed_is_gone_with_its_processes
        a_pod_outlives_neither_its_server_nor_its_holder
        a_port_of_a_pod_is_forwarded_from_within_it
        a_pod_on_the_network_of_the_host_has_no_address_of_its_own
    };
    libtest_mimic::run(arguments, stories).exit_code()
}

fn shell() -> serde_json::Value {
    json!({ "shell": { "command": ["/bin/sh"], "env": { "PLACE": "world", "GREETING": "of the image" } } })
}

async fn get(address: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut connection = tokio::net::TcpStream::connect((address, 8080)).await.ok()?;
    connection.write_all(b"GET /hostname HTTP/1.0\r\n\r\n").await.ok()?;
    let mut text = String::new();
    connection.read_to_string(&mut text).await.ok()?;
    Some(text)
}

async fn a_container_answers_at_the_address_of_its_pod() {
    let images = json!({ "shell": { "command": ["/bin/sh"] } });
    let mut node = Node::start(1, images, &[]).await;
    let script = "cd /etc && exec python3 -m http.server 8080";
    let (first, address) = node.sandbox("first").await;
    node.run(&first, "first", script).await;
    let (second, other) = node.sandbox("second").await;
    let asking = node.run(&second, "second", script).await;
    assert_eq!((address.as_str(), other.as_str()), ("10.9.1.1", "10.9.1.2"));

    let answer = until("the pod answers", || get(&address)).await;
    assert!(answer.ends_with("\r\n\r\nfirst\n"), "{answer}");

    // From one pod to the other: through the host.
    let ask =
        format!("python3 -c 'import urllib.request as u; print(u.urlopen(\"http://{address}:8080/hostname\").read())'");
    let answer = node.exec(&asking, &ask, 0).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "b'first\\n'\n", "{answer:?}");

    let running = cri::running(&node.folder.path().join("root")).unwrap();
    let first = running.iter().find(|it| it.pod == "first").unwrap();
    assert_eq!((first.container.as_str(), first.address.unwrap().to_string()), ("main", address));
    let command = std::fs::read(format!("/proc/{}/cmdline", first.pid)).unwrap();
    assert!(String::from_utf8_lossy(&command).contains("http.server"));
}

async fn a_container_sees_its_own_machine_and_cannot_change_this_one() {
    let mut node = Node::start(2, shell(), &[]).await;
    let (sandbox, _) = node.sandbox("pod").await;
    let volume = node.folder.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("token"), "secret").unwrap();
    let hosts = node.folder.path().join("hosts");
    std::fs::write(&hosts, "10.9.2.1 pod\n").unwrap();
    let mount = |from: &std::path::Path, to: &str, readonly| p::Mount {
        host_path: from.display().to_string(),
        container_path: to.into(),
        readonly,
        ..Default::default()
    };
    let mounts = vec![
        mount(&volume, "/var/run/secrets/token", true),
        mount(&volume, "/volume", false),
        mount(&hosts, "/etc/hosts", false),
    ];
    let script = r#"
        echo "$$ $(hostname) $GREETING $PLACE"
        cat /var/run/secrets/token/token /etc/hosts /etc/resolv.conf
        echo x > /var/run/secrets/token/no || echo refused
        echo x > /usr/no || echo refused
        echo x > /volume/yes; echo x > /tmp/yes; echo x > /etc/yes; mkdir /made; echo done
        exec sleep 1000"#;
    let id = node.create(&sandbox, "pod", script, mounts).await;
    node.start_container(&id).await.unwrap();

    let log = node.said("pod", "done").await;
    for line in ["1 pod hello world", "secret10.9.2.1 pod", "nameserver 10.96.0.10", "search default.svc.cluster.local"]
    {
        assert!(log.contains(&format!("stdout F {line}\n")), "{line} is not in {log}");
    }
    assert_eq!(log.matches("stdout F refused").count(), 2, "{log}");
    assert_eq!(std::fs::read_to_string(volume.join("yes")).unwrap(), "x\n");
    for made in ["/etc/yes", "/made", "/usr/no"] {
        assert!(!std::path::Path::new(made).exists(), "{made} was made on this machine");
    }
}

async fn what_a_container_says_is_in_its_log_by_the_time_it_has_ended() {
    let mut node = Node::start(3, shell(), &[]).await;
    let (sandbox, _) = node.sandbox("pod").await;
    let id = node.run(&sandbox, "pod", "for i in $(seq 500); do echo line $i; done; echo bad >&2; exit 7").await;
    let status = node.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (7, "Error"));
    assert!(status.created_at <= status.started_at && status.started_at <= status.finished_at, "{status:?}");
    assert_eq!(status.log_path, node.logs("pod").join("main/0.log").display().to_string());

    let log = std::fs::read_to_string(&status.log_path).unwrap();
    assert_eq!(log.lines().count(), 501);
    let last = log.lines().rfind(|line| line.contains(" stdout ")).unwrap();
    let (time, rest) = last.split_once(' ').unwrap();
    assert_eq!(rest, "stdout F line 500");
    assert_eq!((time.len(), &time[29..]), (30, "Z"), "a time with nine digits: {time}");
    assert!(log.contains(" stderr F bad\n"));
}

async fn a_program_that_is_not_there_fails_the_start() {
    let mut node = Node::start(4, json!({ "shell": { "command": ["/not/there"] } }), &[]).await;
    let (sandbox, _) = node.sandbox("pod").await;
    let id = node.create(&sandbox, "pod", "true", Vec::new()).await;
    let refused = node.start_container(&id).await.unwrap_err();
    assert!(refused.message().contains("cannot run /not/there"), "{refused}");
    assert_eq!(node.status(&id).await.state(), p::ContainerState::ContainerCreated);
    assert!(cri::running(&node.folder.path().join("root")).unwrap().is_empty());
}

async fn what_runs_is_not_made_a_second_time_beside_itself() {
    let mut node = Node::start(30, shell(), &[]).await;
    let (sandbox, _) = node.sandbox("pod").await;
    let id = node.run(&sandbox, "pod", "exec sleep 1000").await;
    let refused = node.try_to_create(&sandbox, "pod", "true", Vec::new()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (tonic::Code::FailedPrecondition, "main runs already"));
    node.stop(&id, 0).await;
    node.ended(&id).await;
    node.try_to_create(&sandbox, "pod", "true", Vec::new()).await.unwrap();
}

async fn sigterm_comes_first_and_sigkill_after_the_grace() {
    let mut node = Node::start(5, shell(), &[]).await;
    let (polite, _) = node.sandbox("polite").await;
    let id =
        node.run(&polite, "polite", "trap 'echo leaving; exit 3' TERM; echo here; while :; do sleep 0.01; done").await;
    node.said("polite", "here").await;
    node.stop(&id, 3_600).await;
    assert_eq!(node.status(&id).await.exit_code, 3);
    assert!(node.said("polite", "leaving").await.ends_with("leaving\n"));
    // Stopping what has stopped is no error, and neither is stopping what never was.
    node.stop(&id, 3_600).await;
    node.stop("nobody", 3_600).await;

    // Process 1 is not ended by a signal that it does not handle.
    let (deaf, _) = node.sandbox("deaf").await;
    let id = node.run(&deaf, "deaf", "exec sleep 10000").await;
    node.stop(&id, 1).await;
    let status = node.status(&id).await;
    assert_eq!((status.state(), status.exit_code), (p::ContainerState::ContainerExited, 137));
    assert!(1_000_000_000 <= status.finished_at - status.started_at, "it was given its second: {status:?}");
}

async fn commands_run_within_the_container_and_end_in_time() {
    let mut node = Node::start(6, shell(), &[]).await;
    let (sandbox, _) = node.sandbox("pod").await;
    let id = node.run(&sandbox, "pod", "echo mine > /tmp/file; echo here; exec sleep 10006").await;
    node.said("pod", "here").await;

    let seen =
        node.exec(&id, "cat /tmp/file; hostname; echo $GREETING >&2; readlink /proc/1/exe; exit 5", 10).await.unwrap();
    let stdout = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(stdout.starts_with("mine\npod\n/") && stdout.contains("sleep"), "{stdout}");
    assert_eq!((seen.stderr.as_slice(), seen.exit_code), (b"hello\n".as_slice(), 5));

    let late = node.exec(&id, "sleep 4321; true", 1).await.unwrap_err();
    assert_eq!(late.code(), tonic::Code::DeadlineExceeded);
    until("the late command is gone", || async { (!any_process("4321")).then_some(()) }).await;
    assert!(any_process("10006"), "only the command is killed");

    node.stop(&id, 0).await;
    assert_eq!(node.exec(&id, "true", 1).await.unwrap_err().code(), tonic::Code::FailedPrecondition);
}

/// Whether a process with this argument runs.
fn any_process(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|command| command.split(|&byte| byte == 0).any(|it| it == argument.as_bytes()))
}

async fn every_change_is_told_and_every_pod_again_and_again() {
    let mut node = Node::start(7, shell(), &[]).await;
    let mut events = node.runtime.get_container_events(p::GetEventsRequest {}).await.unwrap().into_inner();
    let (sandbox, address) = node.sandbox("pod").await;
    let id = node.run(&sandbox, "pod", "exec sleep 10000").await;
    node.stop(&id, 0).await;
    node.runtime.remove_container(p::RemoveContainerRequest { container_id: id.clone() }).await.unwrap();
    node.runtime.remove_pod_sandbox(p::RemovePodSandboxRequest { pod_sandbox_id: sandbox.clone() }).await.unwrap();

    let mut told = Vec::new();
    let mut newest = 0;
    while told.last() != Some(&(sandbox.clone(), Kind::ContainerDeletedEvent)) {
        let event = tokio::time::timeout(LIMIT, events.message()).await.unwrap().unwrap().unwrap();
        let status = event.pod_sandbox_status.clone().unwrap();
        assert_eq!(
            (status.metadata.unwrap().uid.as_str(), status.network.unwrap().ip),
            ("uid-of-pod", address.clone())
        );
        assert!(newest <= event.created_at, "pictures come in order");
        newest = event.created_at;
        if event.container_event_type() == Kind::ContainerStoppedEvent && event.container_id == id {
            assert_eq!(event.containers_statuses[0].exit_code, 137);
        }
        told.push((event.container_id.clone(), event.container_event_type()));
    }
    let mut changes = told.clone();
    changes.retain(|(_, kind)| *kind != Kind::ContainerCreatedEvent);
    let of = |id: &str, kind| (id.to_owned(), kind);
    assert_eq!(
        changes,
        [
            of(&sandbox, Kind::ContainerStartedEvent),
            of(&id, Kind::ContainerStartedEvent),
            of(&id, Kind::ContainerStoppedEvent),
            of(&id, Kind::ContainerDeletedEvent),
            of(&sandbox, Kind::ContainerStoppedEvent),
            of(&sandbox, Kind::ContainerDeletedEvent),
        ]
    );

    let (quiet, _) = node.sandbox("pod").await;
    for _ in 0..5 {
        let event = tokio::time::timeout(LIMIT, events.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.container_id, quiet, "a pod that is gone is not told of");
    }
}

async fn without_events_the_stream_is_not_implemented() {
    let mut node = Node::start(8, shell(), &["--polling"]).await;
    let refused = node.runtime.get_container_events(p::GetEventsRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unimplemented);
    let (sandbox, _) = node.sandbox("pod").await;
    let status = p::PodSandboxStatusRequest { pod_sandbox_id: sandbox, verbose: false };
    assert_eq!(node.runtime.pod_sandbox_status(status).await.unwrap().into_inner().timestamp, 0);
}

async fn images_may_be_refused_and_starts_may_be_slow() {
    let mut node = Node::start(9, shell(), &[]).await;
    let image = |name: &str| Some(p::ImageSpec { image: name.into(), ..Default::default() });
    let pull = |name: &str| p::PullImageRequest { image: image(name), ..Default::default() };
    let look = |name: &str| p::ImageStatusRequest { image: image(name), verbose: false };
    assert!(node.images.image_status(look("shell")).await.unwrap().into_inner().image.is_none());
    assert_eq!(node.images.pull_image(pull("shell:latest")).await.unwrap().into_inner().image_ref, "shell");
    assert_eq!(node.images.image_status(look("shell:latest")).await.unwrap().into_inner().image.unwrap().id, "shell");
    assert_eq!(node.images.pull_image(pull("other")).await.unwrap_err().code(), tonic::Code::NotFound);

    node.set_images(&json!({ "shell": { "command": ["/bin/sh"], "refusePull": true, "startDelay": "1s" } }));
    assert_eq!(node.images.pull_image(pull("shell")).await.unwrap_err().code(), tonic::Code::NotFound);
    let (sandbox, _) = node.sandbox("pod").await;
    let id = node.run(&sandbox, "pod", "exec sleep 10000").await;
    let status = node.status(&id).await;
    assert!(1_000_000_000 <= status.started_at - status.created_at, "{status:?}");
}

async fn what_is_removed_is_gone_with_its_processes() {
    let mut node = Node::start(10, shell(), &[]).await;
    let root = node.folder.path().join("root");
    let (sandbox, _) = node.sandbox("pod").await;
    node.run(&sandbox, "pod", "sleep 7654 & exec sleep 10000").await;
    assert_eq!(only_running(&root).pod, "pod");

    // The second time, and for what never was, there is nothing left to do.
    for id in [&sandbox, &sandbox, "nobody"] {
        node.runtime.stop_pod_sandbox(p::StopPodSandboxRequest { pod_sandbox_id: id.into() }).await.unwrap();
    }
    assert!(cri::running(&root).unwrap().is_empty());
    until("what it started is gone", || async { (!any_process("7654")).then_some(()) }).await;
    let listed = node.runtime.list_pod_sandbox(p::ListPodSandboxRequest::default()).await.unwrap().into_inner().items;
    assert_eq!(listed[0].state(), p::PodSandboxState::SandboxNotready);

    for _ in 0..2 {
        let removal = p::RemovePodSandboxRequest { pod_sandbox_id: sandbox.clone() };
        node.runtime.remove_pod_sandbox(removal).await.unwrap();
    }
    assert!(
        node.runtime
            .list_containers(p::ListContainersRequest::default())
            .await
            .unwrap()
            .into_inner()
            .containers
            .is_empty()
    );
    let status = p::PodSandboxStatusRequest { pod_sandbox_id: sandbox, verbose: false };
    assert_eq!(node.runtime.pod_sandbox_status(status).await.unwrap_err().code(), tonic::Code::NotFound);
    // The next pod has another address: somebody may still know the last one.
    assert_eq!(node.sandbox("next").await.1, "10.9.10.2");
}

async fn a_pod_outlives_neither_its_server_nor_its_holder() {
    let mut node = Node::start(11, shell(), &[]).await;
    let (first, _) = node.sandbox("first").await;
    node.run(&first, "first", "exec sleep 10011").await;
    until("it runs", || async { any_process("10011").then_some(()) }).await;
    drop(node);
    until("it has ended with the server", || async { (!any_process("10011")).then_some(()) }).await;

    let mut node = Node::start(11, shell(), &[]).await;
    let (sandbox, _) = node.sandbox("second").await;
    let holder = node.holder();
    nix::sys::signal::kill(holder, nix::sys::signal::Signal::SIGKILL).unwrap();
    let runtime = node.runtime.clone();
    until("the sandbox is not ready", || {
        let (mut runtime, pod_sandbox_id) = (runtime.clone(), sandbox.clone());
        async move {
            let request = p::PodSandboxStatusRequest { pod_sandbox_id, verbose: false };
            let status = runtime.pod_sandbox_status(request).await.unwrap().into_inner().status.unwrap();
            (status.state() == p::PodSandboxState::SandboxNotready).then_some(())
        }
    })
    .await;
    let id = node.create(&sandbox, "second", "true", Vec::new()).await;
    assert!(node.start_container(&id).await.unwrap_err().message().contains("its sandbox has stopped"));
}

async fn a_pod_on_the_network_of_the_host_has_no_address_of_its_own() {
    let mut node = Node::start(12, shell(), &[]).await;
    let (sandbox, address) = node.sandbox_on_host("pod").await;
    assert_eq!(address, "");
    let id = node.run(&sandbox, "pod", "readlink /proc/self/ns/net").await;
    node.ended(&id).await;
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert!(node.said("pod", "net:").await.contains(&own.display().to_string()));
}

async fn a_port_of_a_pod_is_forwarded_from_within_it() {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
    let mut node = Node::start(13, shell(), &[]).await;
    let (sandbox, _) = node.sandbox("pod").await;
    // On its loopback only.
    node.run(&sandbox, "pod", "cd /etc && exec python3 -m http.server --bind 127.0.0.1 8080").await;
    let up = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8080))'";
    let id = node.runtime.list_containers(p::ListContainersRequest::default()).await.unwrap().into_inner().containers
        [0]
    .id
    .clone();
    while node.exec(&id, up, 0).await.unwrap().exit_code != 0 {}

    let request = p::PortForwardRequest { pod_sandbox_id: sandbox, port: vec![8080, 1] };
    let url = node.runtime.port_forward(request).await.unwrap().into_inner().url.replace("http:", "ws:");
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "v4.channel.k8s.io".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request.clone()).await.unwrap();
    socket.send(Message::binary(b"\0GET /hostname HTTP/1.0\r\n\r\n".to_vec())).await.unwrap();
    let mut said: [Vec<u8>; 4] = Default::default();
    while let Some(Ok(message)) = tokio::time::timeout(LIMIT, socket.next()).await.unwrap() {
        if let Message::Binary(bytes) = message {
            said[usize::from(bytes[0])].extend_from_slice(&bytes[1..]);
        }
    }
    for (channel, port) in [(0, 8080_u16), (1, 8080), (2, 1), (3, 1)] {
        assert_eq!(said[channel][..2], port.to_le_bytes(), "channel {channel}");
    }
    let [answer, _, nothing, error] = said.map(|bytes| String::from_utf8_lossy(&bytes[2..]).into_owned());
    assert!(answer.ends_with("\r\n\r\npod\n"), "{answer}");
    assert!(nothing.is_empty() && error.contains("port 1 of the pod"), "{error}");
    // What was promised once is given once.
    assert!(tokio_tungstenite::connect_async(request).await.is_err());
}
