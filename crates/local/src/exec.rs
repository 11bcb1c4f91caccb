//! Exec probes: each question is a command under a keeper of its own, so that nothing of it outlives the program, however
//! that ends, nor the time that its answer may take.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::FutureExt as _;
use queue_proxy::{Asker, NotReady, Question};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use crate::described::Workload;
use crate::keeper::Task;
use crate::output::plain;
use crate::process::End;
use crate::seams::Shared;

/// Of what a command prints, as much is kept for whoever asks why it failed.
const KEPT_BYTES: usize = 500;

type Answer = Result<(), NotReady>;

/// Does this command end with 0, with the environment and in the folder of a replica that listens on `port`?
pub(crate) fn question(command: &[String], port: u16, workload: &Workload, shared: &Arc<Shared>) -> Question {
    let (program, args) =
        command.split_first().map(|(program, args)| (program.clone(), args.to_vec())).unwrap_or_default();
    let env = workload.container.invocation(port).env;
    let task = Task { program, args, env, working_dir: workload.container.working_dir.as_ref().map(Into::into) };
    let shared = Arc::clone(shared);
    Question::Own(Asker::new(move || ask(task.clone(), Arc::clone(&shared)).boxed()))
}

/// In a task that the program waits for when it ends, so that nothing is left then even of a question that was dropped.
async fn ask(task: Task, shared: Arc<Shared>) -> Answer {
    let (answer, answered) = oneshot::channel();
    shared.tasks.spawn(run(task, Arc::clone(&shared), answer));
    answered.await.unwrap_or_else(|_| Err(NotReady::NoAnswer("the program ends".to_owned())))
}

/// Until it has ended, or nobody waits for its answer any more: then it is killed.
async fn run(task: Task, shared: Arc<Shared>, mut answer: oneshot::Sender<Answer>) {
    let (mut process, mut output) = match shared.keepers.start_aside(task).await {
        Ok(started) => started,
        Err(error) => return tell(answer, Err(NotReady::NoAnswer(format!("cannot start a keeper: {error}")))),
    };
    let mut printed = Vec::new();
    let end = tokio::select! {
        end = process.ended() => end,
        () = answer.closed() => {
            process.kill();
            process.ended().await;
            return;
        }
        never = read(&mut output, &mut printed) => match never {},
    };
    // Its end may have been heard before its last words were read.
    let mut rest = [0; KEPT_BYTES];
    let read = output.try_read(&mut rest).unwrap_or_default();
    printed.extend_from_slice(&rest[..read]);
    tell(answer, judge(end, &printed));
}

fn judge(end: End, printed: &[u8]) -> Answer {
    match end {
        End::Exited(0) => Ok(()),
        End::NotStarted(why) => Err(NotReady::NoAnswer(why)),
        End::Exited(_) | End::Signalled(_) | End::KeeperLost => {
            let first_line = printed.split(|byte| *byte == b'\n').map(plain).find(|line| !line.is_empty());
            let words = first_line.map(|line| format!(": {line}")).unwrap_or_default();
            Err(NotReady::Says(format!("that it {end}{words}")))
        }
    }
}

fn tell(answer: oneshot::Sender<Answer>, what: Answer) {
    // Who asked may have gone this instant.
    let _ = answer.send(what);
}

/// Reads on when enough is kept: who prints into a pipe that nobody reads stops.
async fn read(output: &mut pipe::Receiver, kept: &mut Vec<u8>) -> Infallible {
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = output.read(&mut chunk).await {
        let room = KEPT_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..read.min(room)]);
    }
    std::future::pending().await
}
