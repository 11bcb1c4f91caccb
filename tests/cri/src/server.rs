//! The calls of the protocol, each handed to what does it. Those that are missing answer that they are not implemented.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream;
use tokio::net::UnixListener;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use crate::Runtime;
use crate::protocol as p;
use crate::protocol::image_service_server::{ImageService, ImageServiceServer};
use crate::protocol::runtime_service_server::{RuntimeService, RuntimeServiceServer};
use crate::state::now;

type Answer<T> = Result<Response<T>, Status>;

/// Answers on the socket until told to stop.
pub(crate) async fn serve(runtime: Arc<Runtime>, stop: CancellationToken) -> anyhow::Result<()> {
    let socket = &runtime.config.socket;
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    let connections = stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await.map(|(connection, _)| connection);
        Some((accepted, listener))
    });
    let calls = Calls(runtime.clone());
    tonic::transport::Server::builder()
        .add_service(RuntimeServiceServer::new(calls.clone()))
        .add_service(ImageServiceServer::new(calls))
        .serve_with_incoming_shutdown(connections, stop.cancelled())
        .await
        .context("cannot serve")
}

#[derive(Clone)]
struct Calls(Arc<Runtime>);

impl Calls {
    /// Lets work run to its end also if the caller hangs up: half a sandbox would be nobody's.
    async fn whole<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, Status> {
        self.0.tasks.spawn(work).await.map_err(|error| Status::internal(error.to_string()))
    }
}

fn failed(error: anyhow::Error) -> Status {
    Status::internal(format!("{error:#}"))
}

#[tonic::async_trait]
impl RuntimeService for Calls {
    async fn version(&self, _: Request<p::VersionRequest>) -> Answer<p::VersionResponse> {
        Ok(Response::new(p::VersionResponse {
            version: "0.1.0".into(),
            runtime_name: "processes".into(),
            runtime_version: env!("CARGO_PKG_VERSION").into(),
            runtime_api_version: "v1".into(),
        }))
    }

    async fn status(&self, _: Request<p::StatusRequest>) -> Answer<p::StatusResponse> {
        let met =
            |kind: &str| p::RuntimeCondition { r#type: kind.into(), status: true, ..p::RuntimeCondition::default() };
        let status = p::RuntimeStatus { conditions: vec![met("RuntimeReady"), met("NetworkReady")] };
        Ok(Response::new(p::StatusResponse { status: Some(status), ..p::StatusResponse::default() }))
    }

    async fn runtime_config(&self, _: Request<p::RuntimeConfigRequest>) -> Answer<p::RuntimeConfigResponse> {
        // The kubelet asks for a way to make control groups. None are made; this is the one that it takes by itself.
        let linux = p::LinuxRuntimeConfiguration { cgroup_driver: p::CgroupDriver::Cgroupfs.into() };
        Ok(Response::new(p::RuntimeConfigResponse { linux: Some(linux) }))
    }

    async fn run_pod_sandbox(&self, request: Request<p::RunPodSandboxRequest>) -> Answer<p::RunPodSandboxResponse> {
        let ran = self.whole(self.0.clone().run_sandbox(request.into_inner())).await?;
        Ok(Response::new(p::RunPodSandboxResponse { pod_sandbox_id: ran.map_err(failed)? }))
    }

    async fn stop_pod_sandbox(&self, request: Request<p::StopPodSandboxRequest>) -> Answer<p::StopPodSandboxResponse> {
        self.whole(self.0.clone().stop_sandbox(request.into_inner().pod_sandbox_id)).await?;
        Ok(Response::new(Default::default()))
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<p::RemovePodSandboxRequest>,
    ) -> Answer<p::RemovePodSandboxResponse> {
        self.whole(self.0.clone().remove_sandbox(request.into_inner().pod_sandbox_id)).await?;
        Ok(Response::new(Default::default()))
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<p::PodSandboxStatusRequest>,
    ) -> Answer<p::PodSandboxStatusResponse> {
        self.0.sandbox_status(&request.into_inner().pod_sandbox_id).map(Response::new)
    }

    async fn list_pod_sandbox(&self, request: Request<p::ListPodSandboxRequest>) -> Answer<p::ListPodSandboxResponse> {
        Ok(Response::new(p::ListPodSandboxResponse { items: self.0.list_sandboxes(request.into_inner().filter) }))
    }

    async fn create_container(
        &self,
        request: Request<p::CreateContainerRequest>,
    ) -> Answer<p::CreateContainerResponse> {
        let container_id = self.0.create_container(request.into_inner())?;
        Ok(Response::new(p::CreateContainerResponse { container_id }))
    }

    async fn start_container(&self, request: Request<p::StartContainerRequest>) -> Answer<p::StartContainerResponse> {
        let id = request.into_inner().container_id;
        // Outside of what is done whole: a kubelet that gives up on a slow start gets none.
        tokio::time::sleep(self.0.start_delay(&id)?).await;
        self.whole(self.0.clone().start_container(id)).await?.map_err(failed)?;
        Ok(Response::new(Default::default()))
    }

    async fn stop_container(&self, request: Request<p::StopContainerRequest>) -> Answer<p::StopContainerResponse> {
        let request = request.into_inner();
        let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
        self.0.stop_container(&request.container_id, grace).await;
        Ok(Response::new(Default::default()))
    }

    async fn remove_container(
        &self,
        request: Request<p::RemoveContainerRequest>,
    ) -> Answer<p::RemoveContainerResponse> {
        self.0.remove_container(&request.into_inner().container_id).await;
        Ok(Response::new(Default::default()))
    }

    async fn list_containers(&self, request: Request<p::ListContainersRequest>) -> Answer<p::ListContainersResponse> {
        Ok(Response::new(p::ListContainersResponse { containers: self.0.list_containers(request.into_inner().filter) }))
    }

    async fn container_status(
        &self,
        request: Request<p::ContainerStatusRequest>,
    ) -> Answer<p::ContainerStatusResponse> {
        let status = self.0.container_status(&request.into_inner().container_id)?;
        Ok(Response::new(p::ContainerStatusResponse { status: Some(status), ..p::ContainerStatusResponse::default() }))
    }

    async fn exec_sync(&self, request: Request<p::ExecSyncRequest>) -> Answer<p::ExecSyncResponse> {
        self.0.exec(request.into_inner()).await.map(Response::new)
    }

    async fn port_forward(&self, request: Request<p::PortForwardRequest>) -> Answer<p::PortForwardResponse> {
        self.0.port_forward(request.into_inner()).map(|url| Response::new(p::PortForwardResponse { url }))
    }

    async fn list_container_stats(
        &self,
        _: Request<p::ListContainerStatsRequest>,
    ) -> Answer<p::ListContainerStatsResponse> {
        Ok(Response::new(Default::default()))
    }

    async fn get_container_events(
        &self,
        _: Request<p::GetEventsRequest>,
    ) -> Answer<BoxStream<p::ContainerEventResponse>> {
        if self.0.config.polling {
            return Err(Status::unimplemented("events are switched off"));
        }
        let events = stream::unfold(self.0.events.subscribe(), |mut events| async {
            loop {
                match events.recv().await {
                    Ok(event) => return Some((Ok(event), events)),
                    // What was missed is in the next picture.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        Ok(Response::new(Box::pin(events)))
    }
}

#[tonic::async_trait]
impl ImageService for Calls {
    async fn list_images(&self, _: Request<p::ListImagesRequest>) -> Answer<p::ListImagesResponse> {
        let images = self.0.images.present().map_err(failed)?.into_iter().map(described).collect();
        Ok(Response::new(p::ListImagesResponse { images }))
    }

    async fn image_status(&self, request: Request<p::ImageStatusRequest>) -> Answer<p::ImageStatusResponse> {
        let reference = request.into_inner().image.unwrap_or_default().image;
        let wanted = crate::images::name_in(&reference);
        let image = self.0.images.present().map_err(failed)?.into_iter().find(|name| name == wanted).map(described);
        Ok(Response::new(p::ImageStatusResponse { image, ..p::ImageStatusResponse::default() }))
    }

    async fn pull_image(&self, request: Request<p::PullImageRequest>) -> Answer<p::PullImageResponse> {
        let reference = request.into_inner().image.unwrap_or_default().image;
        let pulled = self.0.images.pull(&reference).map_err(failed)?;
        let image_ref = pulled.ok_or_else(|| Status::not_found(format!("no image {reference}")))?;
        Ok(Response::new(p::PullImageResponse { image_ref }))
    }

    async fn remove_image(&self, request: Request<p::RemoveImageRequest>) -> Answer<p::RemoveImageResponse> {
        self.0.images.remove(&request.into_inner().image.unwrap_or_default().image);
        Ok(Response::new(Default::default()))
    }

    async fn image_fs_info(&self, _: Request<p::ImageFsInfoRequest>) -> Answer<p::ImageFsInfoResponse> {
        let usage = p::FilesystemUsage {
            timestamp: now(),
            fs_id: Some(p::FilesystemIdentifier { mountpoint: self.0.config.root.display().to_string() }),
            used_bytes: Some(p::UInt64Value { value: 0 }),
            inodes_used: Some(p::UInt64Value { value: 0 }),
        };
        Ok(Response::new(p::ImageFsInfoResponse {
            image_filesystems: vec![usage.clone()],
            container_filesystems: vec![usage],
        }))
    }
}

fn described(name: String) -> p::Image {
    let spec = p::ImageSpec { image: name.clone(), ..p::ImageSpec::default() };
    // A size of 0 is taken for an image that is not there.
    p::Image {
        id: name.clone(),
        repo_tags: vec![format!("{name}:latest")],
        size: 1,
        spec: Some(spec),
        ..p::Image::default()
    }
}
