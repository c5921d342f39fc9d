//! What passes through: WebSocket, server-sent events, gRPC, trailers and uploads, over every pair of protocols.

mod events;
mod grpc;
mod uploads;
mod websocket;
