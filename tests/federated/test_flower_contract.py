"""All that the engine relies on inside Flower, held against the installed version: each failure says what changed.

Flower's internals change with every release. What is public is used everywhere; what is not is used in
`federated/flower` alone, and stands here.
"""

from __future__ import annotations

import hashlib
import inspect
import tomllib
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import nasturtium.federated  # switches Flower's network reporting off before it is imported
from nasturtium.federated.flower import BUNDLE_SHA256, ServerTls, SuperLink, SuperNode, bundle, make_bundle, runtime
from nasturtium.federated.flower.supernode import CONNECTED

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def found(name: str):
    """A name in a module or class of Flower; a failure says that it is gone."""
    home, _, rest = name.partition(":")
    value = import_module(f"flwr.{home}")
    for part in rest.split("."):
        assert hasattr(value, part), f"flwr.{home} has no {rest} any more: look where it went"
        value = getattr(value, part)
    return value


def source(name: str) -> str:
    return inspect.getsource(found(name))


def test_flower_is_pinned_to_the_minor_version_this_was_written_for():
    wanted = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    assert "flwr==1.41.*" in wanted
    assert version("flwr").startswith("1.41."), "run this file, then bench_federated, before the pin moves"


@pytest.mark.parametrize("name", ["flower-superlink", "flower-supernode"])
def test_the_servers_are_installed_under_the_names_we_start(name):
    assert len(entry_points(group="console_scripts", name=name)) == 1


@pytest.fixture
def tls(tmp_path) -> ServerTls:
    for name in ("certificate", "key", "authority"):
        (tmp_path / name).write_text("")
    return ServerTls(certificate=tmp_path / "certificate", key=tmp_path / "key", authority=tmp_path / "authority")


@pytest.mark.parametrize("keep_state", [False, True])
@pytest.mark.parametrize("secure", [False, True])
def test_a_superlink_takes_our_arguments(tmp_path, tls, secure, keep_state):
    line = SuperLink(tmp_path / "link", tls if secure else None, keep_state=keep_state)._line(1234)
    seen = found("superlink.cli.flower_superlink:_parse_args_run_superlink")().parse_args(line)
    assert (seen.host, seen.port, seen.isolation) == ("127.0.0.1", 1234, "process")
    assert (seen.insecure, seen.enable_supernode_auth) == (not secure, secure)
    assert seen.runtime_dependency_install is False
    assert seen.database == (str(tmp_path / "link" / "state.db") if keep_state else ":flwr-in-memory:")


@pytest.mark.parametrize("secure", [False, True])
def test_a_supernode_takes_our_arguments(tmp_path, tls, secure):
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1()) if secure else None
    node = SuperNode(tmp_path / "node", "127.0.0.1:1", key=key, authority=tls.authority if secure else None)
    parse = found("supernode.cli.flower_supernode:_parse_args_run_supernode")
    seen = parse().parse_args(list(node._line(1234)))
    assert (seen.host, seen.port, seen.isolation, seen.superlink) == ("127.0.0.1", 1234, "process", "127.0.0.1:1")
    assert seen.insecure is not secure
    assert seen.runtime_dependency_install is False
    if secure:
        read = found("supernode.cli.flower_supernode:_try_setup_client_authentication")
        assert read(seen)[0].private_numbers() == key.private_numbers(), "Flower reads node keys in another form now"


def test_a_supernode_still_says_its_number_when_it_is_let_in():
    text = source("supernode.start_client_internal:start_client_internal")
    assert 'log(INFO, "SuperNode ID: %s", node_id)' in text, "SuperNode.node is read from this line"
    assert CONNECTED.search("INFO :      SuperNode ID: 17")[1] == "17"


def test_the_waits_of_a_supernode_are_those_we_work_around():
    """Its pauses are constants in its loops; what the front and the tunnel hold back follows from them."""
    assert "time.sleep(3)" in source("supernode.start_client_internal:start_client_internal")
    assert "time.sleep(0.5)" in source("supernode.start_client_internal:_push_messages")
    assert "time.sleep(3)" in source("superlink.grid.http_grid:HttpGrid.send_and_receive")


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
def test_the_bundle_is_what_flowers_builder_writes_and_its_hash_is_known():
    from flwr.cli.build import build_fab_from_files

    content, _ = build_fab_from_files({"pyproject.toml": bundle.PROJECT.encode()})
    assert make_bundle().content == content, "Flower writes bundles in another form now"
    assert make_bundle().hash_str == hashlib.sha256(content).hexdigest() == BUNDLE_SHA256


def test_the_apps_in_the_bundle_run_nothing():
    from flwr.app import Context, Message, RecordDict
    from flwr.app.message import make_message
    from flwr.app.metadata import Metadata

    metadata = Metadata(
        run_id=1,
        message_id="a",
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id="",
        group_id="",
        created_at=1.0,
        ttl=9.0,
        message_type="train",
    )
    message: Message = make_message(metadata=metadata, content=RecordDict())
    context = Context(run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config={})
    with pytest.raises(nasturtium.federated.FederationError, match="nasturtium federate"):
        bundle.client_app(message, context)
    with pytest.raises(nasturtium.federated.FederationError, match="nasturtium federate"):
        bundle.server_app(grid=None, context=context)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("supercore.runtime:RuntimeHttpClient.from_server_address", "server_address insecure root_certificates"),
        ("supercore.control.control_http_client:ControlHttpClient.from_server_address", "server_address insecure"),
        ("supernode.fleet_http_client:FleetHttpClient.from_server_address", "server_address insecure"),
        ("superlink.grid:HttpGrid.__init__", "self runtime_api_address insecure root_certificates token"),
        ("superlink.grid:HttpGrid.set_run", "self run"),
        ("superlink.grid:HttpGrid.push_messages", "self messages"),
        ("superlink.grid:HttpGrid.pull_messages", "self message_ids"),
        ("supercore.interceptors:RuntimeTokenHttpInterceptor.__init__", "self token"),
        ("supercore.interceptors:RuntimeVersionHttpInterceptor.__init__", "self component_name"),
        ("supercore.interceptors:SuperExecAuthHttpInterceptor.__init__", "self master_secret protected_methods"),
        ("supernode.node_auth_http_interceptor:NodeAuthHttpInterceptor.__init__", "self private_key public_key"),
        ("supercore.fab:Fab", "hash_str content verifications"),
        ("common.serde:fab_to_proto", "fab"),
        ("common.serde:run_from_proto", "run_proto"),
        ("common.serde:context_from_proto", "context_proto"),
        ("common.serde:context_to_proto", "context"),
        ("common.serde:message_from_proto", "message_proto"),
        ("common.serde:message_to_proto", "message"),
        ("app.message:make_message", "metadata content error"),
        ("app.message:remove_content_from_message", "message"),
        ("supercore.inflatable.inflatable_object:get_all_nested_objects", "obj"),
        ("supercore.inflatable.inflatable_object:get_object_tree", "obj"),
        ("supercore.inflatable.inflatable_object:iterate_object_tree", "tree"),
        ("supercore.inflatable.inflatable_object:no_object_id_recompute", ""),
        ("supercore.inflatable.inflatable_utils:inflate_object_from_contents", "object_id object_contents"),
        ("supercore.inflatable.inflatable_utils:push_objects", "objects push_object_fn object_ids_to_push"),
        (
            "supercore.inflatable.inflatable_utils:pull_and_inflate_object_from_tree",
            "object_tree pull_object_fn confirm_object_received_fn return_type initial_backoff backoff_cap",
        ),
        (
            "supercore.inflatable.inflatable_protobuf_utils:make_pull_object_fn_protobuf",
            "pull_object_protobuf node run_id",
        ),
        (
            "supercore.inflatable.inflatable_protobuf_utils:make_push_object_fn_protobuf",
            "push_object_protobuf node run_id session_id",
        ),
        (
            "supercore.inflatable.inflatable_protobuf_utils:make_confirm_message_received_fn_protobuf",
            "confirm_message_received_protobuf node run_id",
        ),
        ("supercore.primitives.asymmetric:public_key_to_bytes", "public_key"),
        ("supercore.error:FlowerError.from_json", "value"),
    ],
)
def test_signatures_are_as_we_use_them(name, parameters):
    have = list(inspect.signature(found(name)).parameters)
    missing = [each for each in parameters.split() if each not in have]
    assert not missing, f"{name} takes {have} now, without {missing}"


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        (
            "supercore.runtime:RuntimeHttpClient",
            "AcquireTask SendTaskHeartbeat PullTaskInput PushTaskOutput PullMessages PushMessages PullObject "
            "PushObject ConfirmMessageReceived close",
        ),
        (
            "supercore.control.control_http_client:ControlHttpClient",
            "RegisterNode UnregisterNode ListNodes StartRun StopRun ListRuns close",
        ),
        ("supernode.fleet_http_client:FleetHttpClient", "DeactivateNode close"),
    ],
)
def test_clients_have_the_calls_we_make(name, methods):
    client = found(name)
    missing = [each for each in methods.split() if not callable(getattr(client, each, None))]
    assert not missing, f"{name} has no {missing} any more"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("proto.runtime_pb2:AcquireTaskRequest", "supported_task_types"),
        ("proto.runtime_pb2:AcquireTaskResponse", "task token"),
        ("proto.runtime_pb2:PullTaskInputResponse", "context run fab task_id"),
        ("proto.runtime_pb2:PushTaskOutputRequest", "context sub_status details"),
        ("proto.runtime_pb2:PullAppMessagesRequest", "message_ids"),
        ("proto.runtime_pb2:PullAppMessagesResponse", "messages_list message_object_trees"),
        ("proto.runtime_pb2:PushAppMessagesRequest", "messages_list message_object_trees"),
        ("proto.runtime_pb2:PushAppMessagesResponse", "message_ids objects_to_push session_id"),
        ("proto.message_pb2:PullObjectRequest", "node run_id object_id"),
        ("proto.message_pb2:PullObjectResponse", "object_found object_available object_content"),
        ("proto.message_pb2:ConfirmMessageReceivedRequest", "node run_id message_object_id"),
        ("proto.control_pb2:RegisterNodeRequest", "public_key name"),
        ("proto.control_pb2:ListNodesResponse", "nodes_info"),
        ("proto.control_pb2:StartRunRequest", "fab"),
        ("proto.control_pb2:StartRunResponse", "run_id"),
        ("proto.control_pb2:ListRunsRequest", "limit"),
        ("proto.control_pb2:ListRunsResponse", "run_dict"),
        ("proto.control_pb2:StopRunRequest", "run_id"),
        ("proto.fleet_pb2:DeactivateNodeRequest", "node_id"),
        ("proto.node_pb2:NodeInfo", "node_id name public_key status"),
    ],
)
def test_messages_on_the_wire_have_the_fields_we_read_and_write(name, fields):
    have = {field.name for field in found(name).DESCRIPTOR.fields}
    assert set(fields.split()) <= have, f"{name} has {sorted(have)} now"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("common.constant:ErrorCode.CLIENT_APP_RAISED_EXCEPTION", 2),
        ("common.constant:ErrorCode.MESSAGE_UNAVAILABLE", 3),
        ("common.constant:ErrorCode.REPLY_MESSAGE_UNAVAILABLE", 4),
        ("common.constant:ErrorCode.NODE_UNAVAILABLE", 5),
        ("common.constant:ErrorCode.INVALID_FAB", 7),
        ("common.constant:ErrorCode.CLIENT_APP_CRASHED", 8),
        ("common.constant:SubStatus.COMPLETED", "completed"),
        ("common.constant:SubStatus.FAILED", "failed"),
        ("common.constant:SubStatus.STOPPED", "stopped"),
        ("common.constant:Status.FINISHED", "finished"),
        ("supercore.constant:NodeStatus.ONLINE", "online"),
        ("supercore.constant:NodeStatus.UNREGISTERED", "unregistered"),
        ("supercore.constant:TaskType.SERVER_APP", "flwr-serverapp"),
        ("supercore.constant:TaskType.CLIENT_APP", "flwr-clientapp"),
        ("supercore.constant:FLWR_DISABLE_UPDATE_CHECK", "FLWR_DISABLE_UPDATE_CHECK"),
        ("common.constant:HEARTBEAT_DEFAULT_INTERVAL", 30),
        ("common.constant:HEARTBEAT_PATIENCE", 2),
        ("common.constant:TIMESTAMP_TOLERANCE", 300),
    ],
)
def test_constants_are_what_we_took_them_for(name, value):
    assert found(name) == value


def test_our_heartbeats_come_often_enough():
    first = found("common.constant:HEARTBEAT_DEFAULT_INTERVAL")
    assert first > 2 * runtime.HEARTBEAT_S, "a task that is claimed is given up after one interval"


def test_the_refusals_that_end_a_task_have_the_status_we_read():
    catalog, codes = found("supercore.error.catalog:API_ERROR_MAP"), found("supercore.error:ApiErrorCode")
    assert catalog[codes.RUNTIME_AUTHENTICATION_FAILED].http_status_code == runtime.UNKNOWN
    assert catalog[codes.FLEET_RUN_STATUS_NOT_ALLOWED].http_status_code == runtime.ENDED


def test_an_answer_without_a_message_has_no_body():
    """Whoever carries a SuperNode's requests tells by that whether there was a message."""
    assert found("proto.fleet_pb2:PullMessagesResponse")().SerializeToString() == b""


def test_the_client_retries_as_we_tell_it():
    text = source("supercore.protobuf.client:ProtobufClient._unary_unary")
    assert "self._retry_invoker.invoke(send)" in text
    assert "raise_for_status" in text


def test_a_grid_keeps_its_client_and_run_where_we_put_them():
    made = source("superlink.grid:HttpGrid.__init__")
    assert "self._client: RuntimeHttpClient | None = None" in made
    assert "self._run: Run | None = None" in made
    assert "self.node = Node(node_id=SUPERLINK_NODE_ID)" in made


def test_what_we_write_into_metadata_is_where_flower_keeps_it():
    assert '"_message_id"' in source("app.metadata:Metadata.__init__")


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("supercore.telemetry", "FLWR_TELEMETRY_ENABLED"),
        ("supercore.update_check", "FLWR_DISABLE_UPDATE_CHECK"),
        ("superlink.cli.flower_superlink", "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"),
        ("supercore.utils", "FLWR_HOME"),
    ],
)
def test_variables_of_the_environment_are_still_read(name, variable):
    assert variable in inspect.getsource(import_module(f"flwr.{name}")), f"flwr.{name} does not read {variable} now"


def test_the_superlink_does_not_compare_who_pushes_an_answer_with_whom_it_names():
    """Why answers are signed: a member may name another one. If Flower checks it one day, so much the better."""
    assert "public_key" not in source("superlink.servicer.fleet.fleet_handlers:push_messages")
