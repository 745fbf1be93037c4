CREATE TYPE studydirection AS ENUM (
    'NOT_SET',
    'MINIMIZE',
    'MAXIMIZE'
);
CREATE TYPE trialintermediatevaluetype AS ENUM (
    'FINITE',
    'INF_POS',
    'INF_NEG',
    'NAN'
);
CREATE TYPE trialstate AS ENUM (
    'RUNNING',
    'COMPLETE',
    'PRUNED',
    'FAIL',
    'WAITING'
);
CREATE TYPE trialvaluetype AS ENUM (
    'FINITE',
    'INF_POS',
    'INF_NEG'
);
CREATE FUNCTION nst_ledger_is_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
            BEGIN
                RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'integrity_constraint_violation';
            END
            $$;
CREATE TABLE alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE nst_alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE nst_alias (
    model_id bigint NOT NULL,
    alias text NOT NULL,
    version_id bigint NOT NULL,
    set_us bigint NOT NULL
);
CREATE TABLE nst_architecture (
    id bigint NOT NULL,
    sha256 character(64) NOT NULL,
    space text NOT NULL,
    choices json NOT NULL,
    spec json NOT NULL,
    parameters bigint NOT NULL,
    macs bigint NOT NULL
);
CREATE SEQUENCE nst_architecture_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_architecture_id_seq OWNED BY nst_architecture.id;
CREATE TABLE nst_artifact (
    id bigint NOT NULL,
    sha256 character(64) NOT NULL,
    size_bytes bigint NOT NULL,
    media_type text NOT NULL,
    created_us bigint NOT NULL
);
CREATE SEQUENCE nst_artifact_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_artifact_id_seq OWNED BY nst_artifact.id;
CREATE TABLE nst_ceremony (
    id bigint NOT NULL,
    uid character(26) NOT NULL,
    run_id bigint,
    scheme text NOT NULL,
    key_id text NOT NULL,
    parameters_sha256 character(64),
    public_key_sha256 character(64),
    members json NOT NULL,
    threshold bigint,
    state character varying(16) NOT NULL,
    started_us bigint NOT NULL,
    ended_us bigint,
    CONSTRAINT ck_nst_ceremony_state CHECK (((state)::text = ANY ((ARRAY['completed'::character varying, 'failed'::character varying])::text[])))
);
CREATE SEQUENCE nst_ceremony_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_ceremony_id_seq OWNED BY nst_ceremony.id;
CREATE TABLE nst_contribution (
    run_id bigint NOT NULL,
    round bigint NOT NULL,
    node_id bigint NOT NULL,
    state character varying(16) NOT NULL,
    reason text,
    bytes_up bigint NOT NULL,
    bytes_down bigint NOT NULL,
    seconds double precision NOT NULL,
    rows bigint,
    train_seconds double precision,
    encrypt_seconds double precision,
    update_norm double precision,
    clipped boolean,
    CONSTRAINT ck_nst_contribution_state CHECK (((state)::text = ANY ((ARRAY['accepted'::character varying, 'rejected'::character varying])::text[])))
);
CREATE TABLE nst_dataset (
    id bigint NOT NULL,
    fingerprint text NOT NULL,
    keyed boolean DEFAULT false NOT NULL,
    name text NOT NULL,
    rows bigint,
    body json NOT NULL
);
CREATE SEQUENCE nst_dataset_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_dataset_id_seq OWNED BY nst_dataset.id;
CREATE TABLE nst_deployment (
    id bigint NOT NULL,
    uid character(26) NOT NULL,
    version_id bigint NOT NULL,
    endpoint text NOT NULL,
    host text NOT NULL,
    started_us bigint NOT NULL,
    stopped_us bigint
);
CREATE SEQUENCE nst_deployment_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_deployment_id_seq OWNED BY nst_deployment.id;
CREATE TABLE nst_environment (
    id bigint NOT NULL,
    sha256 character(64) NOT NULL,
    body json NOT NULL
);
CREATE SEQUENCE nst_environment_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_environment_id_seq OWNED BY nst_environment.id;
CREATE TABLE nst_event (
    id bigint NOT NULL,
    run_id bigint NOT NULL,
    at_us bigint NOT NULL,
    kind text NOT NULL,
    body json NOT NULL
);
CREATE SEQUENCE nst_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_event_id_seq OWNED BY nst_event.id;
CREATE TABLE nst_experiment (
    id bigint NOT NULL,
    uid character(26) NOT NULL,
    name text NOT NULL,
    note text,
    created_us bigint NOT NULL,
    deleted_us bigint
);
CREATE SEQUENCE nst_experiment_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_experiment_id_seq OWNED BY nst_experiment.id;
CREATE TABLE nst_federation (
    run_id bigint NOT NULL,
    clients bigint NOT NULL,
    rounds bigint NOT NULL,
    strategy text NOT NULL,
    scheme text NOT NULL,
    alpha double precision,
    flwr_run_id text,
    min_clients bigint,
    privacy json,
    model_run_id bigint,
    spec json NOT NULL
);
CREATE TABLE nst_lease (
    search_id bigint NOT NULL,
    number bigint NOT NULL,
    attempt bigint NOT NULL,
    run_id bigint NOT NULL,
    job json,
    state character varying(16) NOT NULL,
    token character(26),
    worker text,
    offered_us bigint NOT NULL,
    leased_us bigint,
    heartbeat_us bigint,
    expires_us bigint,
    report json,
    CONSTRAINT ck_nst_lease_state CHECK (((state)::text = ANY ((ARRAY['open'::character varying, 'leased'::character varying, 'reported'::character varying, 'lost'::character varying])::text[])))
);
CREATE TABLE nst_ledger (
    sequence bigint NOT NULL,
    kind text NOT NULL,
    subject text,
    run_uid character(26),
    body text NOT NULL,
    recorded_us bigint NOT NULL,
    previous character(64) NOT NULL,
    hash character(64) NOT NULL,
    signer character(64) NOT NULL,
    signature text NOT NULL
);
CREATE TABLE nst_lineage (
    source_kind character varying(16) NOT NULL,
    source_id bigint NOT NULL,
    relation text NOT NULL,
    target_kind character varying(16) NOT NULL,
    target_id bigint NOT NULL,
    CONSTRAINT ck_nst_lineage_source_kind CHECK (((source_kind)::text = ANY ((ARRAY['run'::character varying, 'dataset'::character varying, 'architecture'::character varying, 'artifact'::character varying, 'version'::character varying, 'deployment'::character varying, 'ceremony'::character varying])::text[]))),
    CONSTRAINT ck_nst_lineage_target_kind CHECK (((target_kind)::text = ANY ((ARRAY['run'::character varying, 'dataset'::character varying, 'architecture'::character varying, 'artifact'::character varying, 'version'::character varying, 'deployment'::character varying, 'ceremony'::character varying])::text[])))
);
CREATE TABLE nst_meta (
    key text NOT NULL,
    value text NOT NULL
);
CREATE TABLE nst_metric (
    run_id bigint NOT NULL,
    name_id bigint NOT NULL,
    value double precision,
    reported boolean NOT NULL,
    points bigint NOT NULL,
    first_step bigint,
    last_step bigint,
    last double precision,
    min double precision,
    min_step bigint,
    max double precision,
    max_step bigint
);
CREATE TABLE nst_metric_point (
    run_id bigint NOT NULL,
    name_id bigint NOT NULL,
    step bigint NOT NULL,
    value double precision,
    at_ms bigint
);
CREATE TABLE nst_model (
    id bigint NOT NULL,
    name text NOT NULL,
    created_us bigint NOT NULL
);
CREATE SEQUENCE nst_model_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_model_id_seq OWNED BY nst_model.id;
CREATE TABLE nst_model_version (
    id bigint NOT NULL,
    model_id bigint NOT NULL,
    version bigint NOT NULL,
    run_id bigint,
    artifact_id bigint NOT NULL,
    signature json NOT NULL,
    opset bigint,
    created_us bigint NOT NULL
);
CREATE SEQUENCE nst_model_version_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_model_version_id_seq OWNED BY nst_model_version.id;
CREATE TABLE nst_name (
    id bigint NOT NULL,
    name text NOT NULL
);
CREATE SEQUENCE nst_name_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_name_id_seq OWNED BY nst_name.id;
CREATE TABLE nst_node (
    id bigint NOT NULL,
    uid character(26) NOT NULL,
    name text NOT NULL,
    public_key_sha256 character(64),
    first_seen_us bigint NOT NULL,
    last_seen_us bigint NOT NULL
);
CREATE SEQUENCE nst_node_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_node_id_seq OWNED BY nst_node.id;
CREATE TABLE nst_note (
    id bigint NOT NULL,
    run_id bigint NOT NULL,
    text text NOT NULL,
    created_us bigint NOT NULL
);
CREATE SEQUENCE nst_note_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_note_id_seq OWNED BY nst_note.id;
CREATE TABLE nst_param (
    run_id bigint NOT NULL,
    name_id bigint NOT NULL,
    text text NOT NULL,
    number double precision,
    is_text boolean NOT NULL
);
CREATE TABLE nst_round (
    run_id bigint NOT NULL,
    number bigint NOT NULL,
    state character varying(16) NOT NULL,
    participants bigint NOT NULL,
    rejected bigint NOT NULL,
    bytes_up bigint NOT NULL,
    bytes_down bigint NOT NULL,
    bytes_plain bigint,
    aggregate_seconds double precision,
    seconds double precision NOT NULL,
    started_us bigint NOT NULL,
    CONSTRAINT ck_nst_round_state CHECK (((state)::text = ANY ((ARRAY['completed'::character varying, 'failed'::character varying])::text[])))
);
CREATE TABLE nst_run (
    id bigint NOT NULL,
    uid character(26) NOT NULL,
    number bigint,
    kind character varying(16) NOT NULL,
    state character varying(16) NOT NULL,
    experiment_id bigint NOT NULL,
    parent_id bigint,
    name text NOT NULL,
    seed bigint NOT NULL,
    config json NOT NULL,
    environment_id bigint NOT NULL,
    host text NOT NULL,
    pid bigint NOT NULL,
    born text,
    started_us bigint NOT NULL,
    ended_us bigint,
    deleted_us bigint,
    error text,
    CONSTRAINT ck_nst_run_kind CHECK (((kind)::text = ANY ((ARRAY['search'::character varying, 'trial'::character varying, 'retrain'::character varying, 'federated'::character varying, 'train'::character varying, 'eval'::character varying, 'export'::character varying])::text[]))),
    CONSTRAINT ck_nst_run_state CHECK (((state)::text = ANY ((ARRAY['running'::character varying, 'completed'::character varying, 'pruned'::character varying, 'failed'::character varying, 'interrupted'::character varying])::text[])))
);
CREATE TABLE nst_run_artifact (
    run_id bigint NOT NULL,
    role text NOT NULL,
    name text NOT NULL,
    artifact_id bigint NOT NULL
);
CREATE TABLE nst_run_dataset (
    run_id bigint NOT NULL,
    role text NOT NULL,
    dataset_id bigint NOT NULL
);
CREATE SEQUENCE nst_run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_run_id_seq OWNED BY nst_run.id;
CREATE TABLE nst_search (
    run_id bigint NOT NULL,
    space text NOT NULL,
    space_sha256 character(64) NOT NULL,
    sampler text NOT NULL,
    pruner text NOT NULL,
    objectives json NOT NULL,
    trials bigint NOT NULL,
    study_name text NOT NULL,
    active_us bigint,
    heartbeat_us bigint,
    alive_until_us bigint,
    stop_us bigint,
    space_document json
);
CREATE TABLE nst_system_point (
    run_id bigint NOT NULL,
    name_id bigint NOT NULL,
    at_ms bigint NOT NULL,
    value double precision
);
CREATE TABLE nst_tag (
    run_id bigint NOT NULL,
    name_id bigint NOT NULL,
    value text NOT NULL,
    edited_us bigint NOT NULL
);
CREATE TABLE nst_trial (
    run_id bigint NOT NULL,
    search_id bigint NOT NULL,
    number bigint NOT NULL,
    attempt bigint NOT NULL,
    architecture_id bigint NOT NULL,
    hyperparameters json NOT NULL,
    optuna_number bigint,
    flat json,
    cause text,
    cpu_seconds double precision,
    peak_memory_bytes bigint,
    rung bigint,
    wall_seconds double precision,
    transferred_bytes bigint
);
CREATE TABLE studies (
    study_id integer NOT NULL,
    study_name character varying(512) NOT NULL
);
CREATE SEQUENCE studies_study_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE studies_study_id_seq OWNED BY studies.study_id;
CREATE TABLE study_directions (
    study_direction_id integer NOT NULL,
    direction studydirection NOT NULL,
    study_id integer NOT NULL,
    objective integer NOT NULL
);
CREATE SEQUENCE study_directions_study_direction_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE study_directions_study_direction_id_seq OWNED BY study_directions.study_direction_id;
CREATE TABLE study_system_attributes (
    study_system_attribute_id integer NOT NULL,
    study_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE study_system_attributes_study_system_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE study_system_attributes_study_system_attribute_id_seq OWNED BY study_system_attributes.study_system_attribute_id;
CREATE TABLE study_user_attributes (
    study_user_attribute_id integer NOT NULL,
    study_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE study_user_attributes_study_user_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE study_user_attributes_study_user_attribute_id_seq OWNED BY study_user_attributes.study_user_attribute_id;
CREATE TABLE trial_heartbeats (
    trial_heartbeat_id integer NOT NULL,
    trial_id integer NOT NULL,
    heartbeat timestamp without time zone NOT NULL
);
CREATE SEQUENCE trial_heartbeats_trial_heartbeat_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE trial_heartbeats_trial_heartbeat_id_seq OWNED BY trial_heartbeats.trial_heartbeat_id;
CREATE TABLE trial_intermediate_values (
    trial_intermediate_value_id integer NOT NULL,
    trial_id integer NOT NULL,
    step integer NOT NULL,
    intermediate_value double precision,
    intermediate_value_type trialintermediatevaluetype NOT NULL
);
CREATE SEQUENCE trial_intermediate_values_trial_intermediate_value_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE trial_intermediate_values_trial_intermediate_value_id_seq OWNED BY trial_intermediate_values.trial_intermediate_value_id;
CREATE TABLE trial_params (
    param_id integer NOT NULL,
    trial_id integer,
    param_name character varying(512),
    param_value double precision,
    distribution_json text
);
CREATE SEQUENCE trial_params_param_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE trial_params_param_id_seq OWNED BY trial_params.param_id;
CREATE TABLE trial_system_attributes (
    trial_system_attribute_id integer NOT NULL,
    trial_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE trial_system_attributes_trial_system_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE trial_system_attributes_trial_system_attribute_id_seq OWNED BY trial_system_attributes.trial_system_attribute_id;
CREATE TABLE trial_user_attributes (
    trial_user_attribute_id integer NOT NULL,
    trial_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE trial_user_attributes_trial_user_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE trial_user_attributes_trial_user_attribute_id_seq OWNED BY trial_user_attributes.trial_user_attribute_id;
CREATE TABLE trial_values (
    trial_value_id integer NOT NULL,
    trial_id integer NOT NULL,
    objective integer NOT NULL,
    value double precision,
    value_type trialvaluetype NOT NULL
);
CREATE SEQUENCE trial_values_trial_value_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE trial_values_trial_value_id_seq OWNED BY trial_values.trial_value_id;
CREATE TABLE trials (
    trial_id integer NOT NULL,
    number integer,
    study_id integer,
    state trialstate NOT NULL,
    datetime_start timestamp without time zone,
    datetime_complete timestamp without time zone
);
CREATE SEQUENCE trials_trial_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE trials_trial_id_seq OWNED BY trials.trial_id;
CREATE TABLE version_info (
    version_info_id integer NOT NULL,
    schema_version integer,
    library_version character varying(256),
    CONSTRAINT version_info_version_info_id_check CHECK ((version_info_id = 1))
);
ALTER TABLE ONLY nst_architecture ALTER COLUMN id SET DEFAULT nextval('nst_architecture_id_seq'::regclass);
ALTER TABLE ONLY nst_artifact ALTER COLUMN id SET DEFAULT nextval('nst_artifact_id_seq'::regclass);
ALTER TABLE ONLY nst_ceremony ALTER COLUMN id SET DEFAULT nextval('nst_ceremony_id_seq'::regclass);
ALTER TABLE ONLY nst_dataset ALTER COLUMN id SET DEFAULT nextval('nst_dataset_id_seq'::regclass);
ALTER TABLE ONLY nst_deployment ALTER COLUMN id SET DEFAULT nextval('nst_deployment_id_seq'::regclass);
ALTER TABLE ONLY nst_environment ALTER COLUMN id SET DEFAULT nextval('nst_environment_id_seq'::regclass);
ALTER TABLE ONLY nst_event ALTER COLUMN id SET DEFAULT nextval('nst_event_id_seq'::regclass);
ALTER TABLE ONLY nst_experiment ALTER COLUMN id SET DEFAULT nextval('nst_experiment_id_seq'::regclass);
ALTER TABLE ONLY nst_model ALTER COLUMN id SET DEFAULT nextval('nst_model_id_seq'::regclass);
ALTER TABLE ONLY nst_model_version ALTER COLUMN id SET DEFAULT nextval('nst_model_version_id_seq'::regclass);
ALTER TABLE ONLY nst_name ALTER COLUMN id SET DEFAULT nextval('nst_name_id_seq'::regclass);
ALTER TABLE ONLY nst_node ALTER COLUMN id SET DEFAULT nextval('nst_node_id_seq'::regclass);
ALTER TABLE ONLY nst_note ALTER COLUMN id SET DEFAULT nextval('nst_note_id_seq'::regclass);
ALTER TABLE ONLY nst_run ALTER COLUMN id SET DEFAULT nextval('nst_run_id_seq'::regclass);
ALTER TABLE ONLY studies ALTER COLUMN study_id SET DEFAULT nextval('studies_study_id_seq'::regclass);
ALTER TABLE ONLY study_directions ALTER COLUMN study_direction_id SET DEFAULT nextval('study_directions_study_direction_id_seq'::regclass);
ALTER TABLE ONLY study_system_attributes ALTER COLUMN study_system_attribute_id SET DEFAULT nextval('study_system_attributes_study_system_attribute_id_seq'::regclass);
ALTER TABLE ONLY study_user_attributes ALTER COLUMN study_user_attribute_id SET DEFAULT nextval('study_user_attributes_study_user_attribute_id_seq'::regclass);
ALTER TABLE ONLY trial_heartbeats ALTER COLUMN trial_heartbeat_id SET DEFAULT nextval('trial_heartbeats_trial_heartbeat_id_seq'::regclass);
ALTER TABLE ONLY trial_intermediate_values ALTER COLUMN trial_intermediate_value_id SET DEFAULT nextval('trial_intermediate_values_trial_intermediate_value_id_seq'::regclass);
ALTER TABLE ONLY trial_params ALTER COLUMN param_id SET DEFAULT nextval('trial_params_param_id_seq'::regclass);
ALTER TABLE ONLY trial_system_attributes ALTER COLUMN trial_system_attribute_id SET DEFAULT nextval('trial_system_attributes_trial_system_attribute_id_seq'::regclass);
ALTER TABLE ONLY trial_user_attributes ALTER COLUMN trial_user_attribute_id SET DEFAULT nextval('trial_user_attributes_trial_user_attribute_id_seq'::regclass);
ALTER TABLE ONLY trial_values ALTER COLUMN trial_value_id SET DEFAULT nextval('trial_values_trial_value_id_seq'::regclass);
ALTER TABLE ONLY trials ALTER COLUMN trial_id SET DEFAULT nextval('trials_trial_id_seq'::regclass);
INSERT INTO alembic_version VALUES ('v3.2.0.a');
INSERT INTO nst_alembic_version VALUES ('0003');
INSERT INTO nst_architecture VALUES (1, '0bdfa7ef2b4dc0574eea731960e56e49ca60ebe27c3f1556b5f17f0367f7c6b3', 'mlp', '{"hidden/count":1,"hidden/0/residual/skip":false,"hidden/0/residual/linear/out_features":32,"normalisation":"layer_norm","activation":"silu","dropout":"0.1"}', '{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"linear","out_features":32},{"kind":"layer_norm"},{"kind":"activation","function":"silu"},{"kind":"dropout","rate":0.1},{"kind":"linear","out_features":10}]}', 2474, 2432);
INSERT INTO nst_architecture VALUES (2, '19e12b49b232aaa8f1cb50e9ed3809e4fb67588438a21705dd1d54d36912a0d9', 'mlp', '{"hidden/count":2,"hidden/0/residual/skip":true,"hidden/0/residual/linear/out_features":16,"normalisation":"none","activation":"gelu","dropout":"0.3","hidden/1/residual/skip":true,"hidden/1/residual/linear/out_features":128}', '{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":16}],"shortcut":[{"kind":"linear","out_features":16,"bias":false}]},{"kind":"activation","function":"gelu"},{"kind":"dropout","rate":0.3},{"kind":"residual","body":[{"kind":"linear","out_features":128}],"shortcut":[{"kind":"linear","out_features":128,"bias":false}]},{"kind":"activation","function":"gelu"},{"kind":"dropout","rate":0.3},{"kind":"linear","out_features":10}]}', 7578, 7424);
INSERT INTO nst_architecture VALUES (3, '9f58c11a2061456c6047457ec62af81f5212debd81fc121202b5e4c77534177c', 'mlp', '{"hidden/count":2,"hidden/0/residual/skip":true,"hidden/0/residual/linear/out_features":128,"normalisation":"batch_norm","activation":"silu","dropout":"0","hidden/1/residual/skip":false,"hidden/1/residual/linear/out_features":32}', '{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":128},{"kind":"batch_norm"}],"shortcut":[{"kind":"linear","out_features":128,"bias":false}]},{"kind":"activation","function":"silu"},{"kind":"linear","out_features":32},{"kind":"batch_norm"},{"kind":"activation","function":"silu"},{"kind":"linear","out_features":10}]}', 21290, 20960);
INSERT INTO nst_artifact VALUES (1, 'c7eeea6d59ef15db75f6690f999463379b18f10beb4b9b5a700900454ae310e3', 14648, 'application/octet-stream', 1795911625566833);
INSERT INTO nst_artifact VALUES (2, '210838976da45e632fd135ac48f84077e6fd96b9d575a57e427975bd86cbf70d', 14648, 'application/octet-stream', 1795911625759293);
INSERT INTO nst_artifact VALUES (3, '774b4b343d92d41df2e080ad842d20608239b333b1a4cfdde4ba9400db399cb9', 14648, 'application/octet-stream', 1795911625894777);
INSERT INTO nst_artifact VALUES (4, '9675f44abc26d742de3cbc438be74de233f728d411bc1e9f2d13171b587040a8', 14648, 'application/octet-stream', 1795911626042983);
INSERT INTO nst_artifact VALUES (5, 'cebe281e4c40b1696b4e4737f7eff48d0ed6b9c334f30e8b93c0a4f534f397f8', 2631, 'application/json', 1795911626270747);
INSERT INTO nst_artifact VALUES (6, 'b0c51313d7624f85d01b47b491edee28257a7c8af5d7ce59ac286bbd33934349', 87720, 'application/vnd.safetensors', 1795911626277204);
INSERT INTO nst_artifact VALUES (7, '91965bdf506b4a10b6b007dba1387ff2ded8fdbad3c4a65116c2bd622232ddfa', 2631, 'application/json', 1795911626565903);
INSERT INTO nst_artifact VALUES (8, '5fc51507adeee28381664bad03f617bb6bd0f7d4c8a1a5695629f07adb0ef8cb', 87720, 'application/vnd.safetensors', 1795911626568246);
INSERT INTO nst_artifact VALUES (9, '431df3f80a53e9bc361543f2fc2aab9e5405f9041678967cb4ce3a3ee96c3ffb', 5726, 'application/json', 1795911630644565);
INSERT INTO nst_artifact VALUES (10, '2a2e5997de37c6d98056e7f5eb17dffdc4ea3fa52c625803e2a4960b8716c5fd', 3063, 'application/json', 1795911630780836);
INSERT INTO nst_artifact VALUES (14, '1f9f64d859b723bdeb7b020dbf517c528e3a94ad90cdc5fc9321039fe62b4427', 2616, 'application/json', 1795911633230045);
INSERT INTO nst_artifact VALUES (15, '4dfcb43e028db1498303ae4396ea593b3ed89e2124afee2ff74af4b2724b0200', 87720, 'application/vnd.safetensors', 1795911633243432);
INSERT INTO nst_contribution VALUES (13, 1, 1, 'accepted', NULL, 23170, 1841, 0.12408673799654935, NULL, 0.11262897800042992, 0.009205973001371603, NULL, NULL);
INSERT INTO nst_contribution VALUES (13, 1, 2, 'accepted', NULL, 23170, 1841, 0.11347614000260364, NULL, 0.11008102900086669, 0.001121893001254648, NULL, NULL);
INSERT INTO nst_contribution VALUES (13, 1, 3, 'accepted', NULL, 23170, 1841, 0.05205251499864971, NULL, 0.04485514699626947, 0.0010375560013926588, NULL, NULL);
INSERT INTO nst_contribution VALUES (13, 2, 1, 'accepted', NULL, 23170, 30801, 0.08501408199663274, NULL, 0.08295520300453063, 0.000931898997805547, NULL, NULL);
INSERT INTO nst_contribution VALUES (13, 2, 2, 'accepted', NULL, 23170, 30801, 0.09199713099951623, NULL, 0.0735972420006874, 0.01711561500269454, NULL, NULL);
INSERT INTO nst_contribution VALUES (13, 2, 3, 'accepted', NULL, 23170, 30801, 0.06902563699986786, NULL, 0.050904023002658505, 0.005110197998874355, NULL, NULL);
INSERT INTO nst_dataset VALUES (1, '171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666', false, 'digits', 1797, '{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}');
INSERT INTO nst_dataset VALUES (3, 'hmac-sha256:292742c570f59ab8ebcfe029ea0d70cae2c959e8df78c04d70f6b22796def7c3', true, 'digits at site-1', NULL, '{}');
INSERT INTO nst_dataset VALUES (4, 'hmac-sha256:4fe32d152237fd6bce2fb1351a1cca5a5f72857ca1bb7c007f903249121aed89', true, 'digits at site-2', NULL, '{}');
INSERT INTO nst_dataset VALUES (5, 'hmac-sha256:30e6d54ea80d52e7852310bcd0297d68aeb0328cbf31b79215ef4d9113bdc3ed', true, 'digits at site-3', NULL, '{}');
INSERT INTO nst_dataset VALUES (6, 'sha256:22', false, 'left', 5, '{}');
INSERT INTO nst_environment VALUES (1, '778eeb4e98ca9d2cee5939ed954c6ac15f5a73f5f75899b39b2a7c5b70f2444a', '{"python":"3.11.7","implementation":"CPython","platform":"Linux-6.18.44-fc-v657-x86_64-with-glibc2.36","machine":"x86_64","cpu":"AMD EPYC","cpus":2,"memory_bytes":25276510208,"gpus":[],"nasturtium":"0.1.0","packages":{"numpy":"2.4.6","polars":"2.1.0","safetensors":"0.8.0","optuna":"5.0.0","sqlalchemy":"2.1.9","alembic":"1.20.1","flwr":"1.41.0","tenseal":"0.3.18"},"commit":null,"dirty":null}');
INSERT INTO nst_event VALUES (1, 1, 1795911617500617, 'started', '{}');
INSERT INTO nst_event VALUES (2, 2, 1795911618534279, 'started', '{}');
INSERT INTO nst_event VALUES (3, 2, 1795911621950165, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (4, 3, 1795911621985201, 'started', '{}');
INSERT INTO nst_event VALUES (5, 3, 1795911622362210, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (6, 4, 1795911622422337, 'started', '{}');
INSERT INTO nst_event VALUES (7, 4, 1795911625272178, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (8, 5, 1795911625462109, 'started', '{}');
INSERT INTO nst_event VALUES (9, 5, 1795911625610560, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (10, 6, 1795911625637511, 'started', '{}');
INSERT INTO nst_event VALUES (11, 6, 1795911625788665, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (12, 7, 1795911625816670, 'started', '{}');
INSERT INTO nst_event VALUES (13, 7, 1795911625921058, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (14, 8, 1795911625936806, 'started', '{}');
INSERT INTO nst_event VALUES (15, 8, 1795911626084244, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (16, 9, 1795911626115009, 'started', '{}');
INSERT INTO nst_event VALUES (17, 9, 1795911626300020, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (18, 10, 1795911626341607, 'started', '{}');
INSERT INTO nst_event VALUES (19, 10, 1795911626597562, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (20, 11, 1795911630208199, 'started', '{}');
INSERT INTO nst_event VALUES (21, 11, 1795911630676123, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (22, 12, 1795911630718784, 'started', '{}');
INSERT INTO nst_event VALUES (23, 12, 1795911630828590, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (24, 1, 1795911630889108, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (25, 13, 1795911632404635, 'started', '{}');
INSERT INTO nst_event VALUES (26, 13, 1795911632823847, 'round', '{"number":1,"state":"completed","participants":3}');
INSERT INTO nst_event VALUES (27, 13, 1795911633048637, 'round', '{"number":2,"state":"completed","participants":3}');
INSERT INTO nst_event VALUES (28, 13, 1795911633136631, 'round figures', '{"number":1}');
INSERT INTO nst_event VALUES (29, 13, 1795911633179779, 'round figures', '{"number":2}');
INSERT INTO nst_event VALUES (30, 13, 1795911633350760, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (31, 14, 1795911633484601, 'started', '{}');
INSERT INTO nst_event VALUES (32, 14, 1795911633540847, 'ended', '{"state":"failed"}');
INSERT INTO nst_experiment VALUES (1, '01M8JAS2XR5VHMSRDEHVFX5RV5', 'default', NULL, 1795911617464785, NULL);
INSERT INTO nst_federation VALUES (13, 3, 2, 'fedavg', 'plain', 0.5, NULL, NULL, NULL, 1, '{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":128},{"kind":"batch_norm"}],"shortcut":[{"kind":"linear","out_features":128,"bias":false}]},{"kind":"activation","function":"silu"},{"kind":"linear","out_features":32},{"kind":"batch_norm"},{"kind":"activation","function":"silu"},{"kind":"linear","out_features":10}]}');
INSERT INTO nst_ledger VALUES (1, 'spend', '171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666', '01M8JASHEWE26P7C5VTWDZ93V8', '{"delta":0.0,"details":{"composition":"basic: runs are added up, each in its own unit of privacy"},"epsilon":"inf","mechanism":"exact sum of updates","round":1,"total":{"delta":0.0,"epsilon":"inf","releases":1}}', 1795911632576877, '0000000000000000000000000000000000000000000000000000000000000000', '32e1bad632f86107f6768fb73f0b153ddffa101471e8c0e348a184513f8340ef', 'fe0385d90493737e31b57ffb8b035a059a4e44e73439cedfc715902b917ee8a6', 'e58e88819b7124e7c62404346b20a71f733dcfeda794315dac714f4a6c7a3afc756d5d70d10c554f3449f9e9a5df1dcfe214466e4312adacc455264fa06f610e');
INSERT INTO nst_ledger VALUES (2, 'spend', '171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666', '01M8JASHEWE26P7C5VTWDZ93V8', '{"delta":0.0,"details":{"composition":"basic: runs are added up, each in its own unit of privacy"},"epsilon":"inf","mechanism":"exact sum of updates","round":2,"total":{"delta":0.0,"epsilon":"inf","releases":2}}', 1795911632836071, 'abf702268b602e39b2127e625f30f92cc1a56d9ef8d571a1128201b395a9ddb4', '9b9ec0a29e926b86ac57723641c869552d35acb339d9b1646e28fd31fbb58ef2', 'fe0385d90493737e31b57ffb8b035a059a4e44e73439cedfc715902b917ee8a6', 'a93b50b3d7176903a741e4101c071701baccfced00e2517b3d0143756868645216cf2dbc8e276e7387aa24c0070591678e809818bc35cf53369640f5346ac40d');
INSERT INTO nst_ledger VALUES (3, 'spend', '171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666', '01M8JASHEWE26P7C5VTWDZ93V8', '{"delta":0.0,"details":{"composition":"basic: runs are added up, each in its own unit of privacy"},"epsilon":"inf","mechanism":"exact counts","round":3,"total":{"delta":0.0,"epsilon":"inf","releases":3}}', 1795911633060834, '75f8ecfbe010de0d3f0d1959cd3d45eedb085e14f9d7d821c538a3b15f8914a1', '8e40f5afa5d4666cf9c6cddf239b17fadc9f96bf9f560987d3e73b23444e5f81', 'fe0385d90493737e31b57ffb8b035a059a4e44e73439cedfc715902b917ee8a6', '9feeeae492453bbb16a61e5e1a99ab846b4cfac35071364d234db33d61970c0c739797aca5e3a818d1b3e8f301f254b6e0bc86575474b0b1950b1b1a3479dc03');
INSERT INTO nst_lineage VALUES ('dataset', 1, 'trained on by', 'run', 1);
INSERT INTO nst_lineage VALUES ('run', 1, 'proposed', 'run', 2);
INSERT INTO nst_lineage VALUES ('architecture', 1, 'evaluated by', 'run', 2);
INSERT INTO nst_lineage VALUES ('run', 1, 'proposed', 'run', 3);
INSERT INTO nst_lineage VALUES ('architecture', 2, 'evaluated by', 'run', 3);
INSERT INTO nst_lineage VALUES ('run', 1, 'proposed', 'run', 4);
INSERT INTO nst_lineage VALUES ('architecture', 3, 'evaluated by', 'run', 4);
INSERT INTO nst_lineage VALUES ('run', 4, 'retrained as', 'run', 5);
INSERT INTO nst_lineage VALUES ('run', 5, 'saved', 'artifact', 1);
INSERT INTO nst_lineage VALUES ('run', 4, 'retrained as', 'run', 6);
INSERT INTO nst_lineage VALUES ('run', 6, 'saved', 'artifact', 2);
INSERT INTO nst_lineage VALUES ('run', 3, 'retrained as', 'run', 7);
INSERT INTO nst_lineage VALUES ('run', 7, 'saved', 'artifact', 3);
INSERT INTO nst_lineage VALUES ('run', 3, 'retrained as', 'run', 8);
INSERT INTO nst_lineage VALUES ('run', 8, 'saved', 'artifact', 4);
INSERT INTO nst_lineage VALUES ('run', 4, 'retrained as', 'run', 9);
INSERT INTO nst_lineage VALUES ('run', 9, 'saved', 'artifact', 5);
INSERT INTO nst_lineage VALUES ('run', 9, 'saved', 'artifact', 6);
INSERT INTO nst_lineage VALUES ('run', 4, 'retrained as', 'run', 10);
INSERT INTO nst_lineage VALUES ('run', 10, 'saved', 'artifact', 7);
INSERT INTO nst_lineage VALUES ('run', 10, 'saved', 'artifact', 8);
INSERT INTO nst_lineage VALUES ('run', 1, 'evaluated as', 'run', 11);
INSERT INTO nst_lineage VALUES ('run', 11, 'saved', 'artifact', 9);
INSERT INTO nst_lineage VALUES ('run', 4, 'retrained as', 'run', 12);
INSERT INTO nst_lineage VALUES ('run', 12, 'saved', 'artifact', 10);
INSERT INTO nst_lineage VALUES ('run', 12, 'saved', 'artifact', 6);
INSERT INTO nst_lineage VALUES ('run', 1, 'saved', 'artifact', 10);
INSERT INTO nst_lineage VALUES ('run', 1, 'saved', 'artifact', 6);
INSERT INTO nst_lineage VALUES ('artifact', 6, 'published as', 'version', 1);
INSERT INTO nst_lineage VALUES ('dataset', 1, 'trained on by', 'run', 13);
INSERT INTO nst_lineage VALUES ('run', 12, 'network of', 'run', 13);
INSERT INTO nst_lineage VALUES ('dataset', 3, 'trained on at a site by', 'run', 13);
INSERT INTO nst_lineage VALUES ('dataset', 4, 'trained on at a site by', 'run', 13);
INSERT INTO nst_lineage VALUES ('dataset', 5, 'trained on at a site by', 'run', 13);
INSERT INTO nst_lineage VALUES ('run', 13, 'saved', 'artifact', 14);
INSERT INTO nst_lineage VALUES ('run', 13, 'saved', 'artifact', 15);
INSERT INTO nst_lineage VALUES ('artifact', 15, 'published as', 'version', 2);
INSERT INTO nst_lineage VALUES ('dataset', 6, 'trained on by', 'run', 14);
INSERT INTO nst_meta VALUES ('instance', '01M8JAS2QMDCRDH7DAT5DKG4ZD');
INSERT INTO nst_meta VALUES ('created_us', '1795911617268836');
INSERT INTO nst_meta VALUES ('last_number', '3');
INSERT INTO nst_metric VALUES (2, 31, 2.0456579809991, false, 3, 1, 3, 2.0456579809991, 2.0456579809991, 3, 2.2753373778869057, 1);
INSERT INTO nst_metric VALUES (2, 42, 0.38016528925619836, false, 2, 1, 2, 0.38016528925619836, 0.30578512396694213, 1, 0.38016528925619836, 2);
INSERT INTO nst_metric VALUES (2, 32, 0.38016528925619836, true, 3, 1, 3, 0.38016528925619836, 0.30578512396694213, 1, 0.38016528925619836, 3);
INSERT INTO nst_metric VALUES (2, 33, 1.9651879002370012, true, 3, 1, 3, 1.9651879002370012, 1.9651879002370012, 3, 2.1233807832639546, 1);
INSERT INTO nst_metric VALUES (2, 34, 3, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (2, 35, 0, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (2, 38, 2432, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (2, 39, 9896, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (2, 40, 2474, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (2, 41, 512, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (2, 43, 6922, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (2, 44, 0.7405601550294678, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (2, 45, 0.31551266842940295, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (3, 31, 2.03333009069211, false, 3, 1, 3, 2.03333009069211, 2.03333009069211, 3, 3.0838976766461523, 1);
INSERT INTO nst_metric VALUES (3, 42, 0.42424242424242425, false, 2, 1, 2, 0.42424242424242425, 0.3002754820936639, 1, 0.42424242424242425, 2);
INSERT INTO nst_metric VALUES (3, 32, 0.42424242424242425, true, 3, 1, 3, 0.42424242424242425, 0.3002754820936639, 1, 0.42424242424242425, 3);
INSERT INTO nst_metric VALUES (3, 33, 1.8165221421201647, true, 3, 1, 3, 1.8165221421201647, 1.8165221421201647, 3, 2.0039678571556876, 1);
INSERT INTO nst_metric VALUES (3, 34, 3, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (3, 35, 0, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (3, 38, 7424, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (3, 39, 30312, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (3, 40, 7578, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (3, 41, 1536, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (3, 43, 14090, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (3, 44, 0.7565598795793752, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (3, 45, 0.35828925595780214, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (4, 31, 0.5761813339785995, false, 3, 1, 3, 0.5761813339785995, 0.5761813339785995, 3, 1.5089129493615339, 1);
INSERT INTO nst_metric VALUES (4, 42, 0.928374655647383, false, 2, 1, 2, 0.928374655647383, 0.8154269972451791, 1, 0.928374655647383, 2);
INSERT INTO nst_metric VALUES (4, 32, 0.928374655647383, true, 3, 1, 3, 0.928374655647383, 0.8154269972451791, 1, 0.928374655647383, 3);
INSERT INTO nst_metric VALUES (4, 33, 0.5211604939028674, true, 3, 1, 3, 0.5211604939028674, 0.5211604939028674, 3, 0.799093587369347, 1);
INSERT INTO nst_metric VALUES (4, 34, 3, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (4, 35, 320, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (4, 38, 20960, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (4, 39, 86440, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (4, 40, 21290, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (4, 41, 1536, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (4, 43, 41866, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (4, 44, 0.9943796976656951, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (4, 45, 0.9269971508475029, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (5, 31, 0.5600220045196675, false, 3, 1, 3, 0.5600220045196675, 0.5600220045196675, 3, 1.4876487994862495, 1);
INSERT INTO nst_metric VALUES (5, 32, 0.9201101928374655, true, 3, 1, 3, 0.9201101928374655, 0.8071625344352618, 1, 0.9201101928374655, 3);
INSERT INTO nst_metric VALUES (5, 33, 0.5070151952886167, true, 3, 1, 3, 0.5070151952886167, 0.5070151952886167, 3, 0.7830311461279577, 1);
INSERT INTO nst_metric VALUES (5, 34, 3, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (5, 44, 0.9926084045012464, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (5, 45, 0.9195752666298913, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (6, 31, 0.520358292855949, false, 3, 1, 3, 0.520358292855949, 0.520358292855949, 3, 1.3838339148280776, 1);
INSERT INTO nst_metric VALUES (6, 32, 0.9201101928374655, true, 3, 1, 3, 0.9201101928374655, 0.8484848484848485, 1, 0.9201101928374655, 3);
INSERT INTO nst_metric VALUES (6, 33, 0.46445846473156926, true, 3, 1, 3, 0.46445846473156926, 0.46445846473156926, 3, 0.7132800267682153, 1);
INSERT INTO nst_metric VALUES (6, 34, 3, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (6, 44, 0.9964816220676221, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (6, 45, 0.9192932538517345, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (7, 31, 1.9666914619017983, false, 3, 1, 3, 1.9666914619017983, 1.9666914619017983, 3, 2.9135402492273634, 1);
INSERT INTO nst_metric VALUES (7, 32, 0.32231404958677684, true, 3, 1, 3, 0.32231404958677684, 0.22589531680440772, 1, 0.32231404958677684, 3);
INSERT INTO nst_metric VALUES (7, 33, 1.7186297026358979, true, 3, 1, 3, 1.7186297026358979, 1.7186297026358979, 3, 2.0239759914956164, 1);
INSERT INTO nst_metric VALUES (7, 34, 3, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (7, 44, 0.7293411452185221, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (7, 45, 0.2958069823460225, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (8, 31, 2.106528830305438, false, 3, 1, 3, 2.106528830305438, 2.106528830305438, 3, 2.9738495849003304, 1);
INSERT INTO nst_metric VALUES (8, 32, 0.3002754820936639, true, 3, 1, 3, 0.3002754820936639, 0.162534435261708, 1, 0.3002754820936639, 3);
INSERT INTO nst_metric VALUES (8, 33, 1.8947948705663005, true, 3, 1, 3, 1.8947948705663005, 1.8947948705663005, 3, 2.1518723923812226, 1);
INSERT INTO nst_metric VALUES (8, 34, 3, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (8, 44, 0.6831612212674048, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (8, 45, 0.267623112205701, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (9, 31, 0.4343106194717104, false, 3, 1, 3, 0.4343106194717104, 0.4343106194717104, 3, 1.3564063092253047, 1);
INSERT INTO nst_metric VALUES (9, 38, 20960, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (9, 40, 21290, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (10, 31, 0.42334325417137947, false, 3, 1, 3, 0.42334325417137947, 0.42334325417137947, 3, 1.2840778933732724, 1);
INSERT INTO nst_metric VALUES (10, 38, 20960, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (10, 40, 21290, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (11, 59, 0.9587912087912088, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (11, 60, 0.9971797574811191, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (11, 61, 0.9587470933493465, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (11, 62, 0.35940350762983, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (12, 32, 0.9201101928374655, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (12, 33, 0.485736830010093, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (12, 38, 20960, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (12, 40, 21290, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (12, 44, 0.9945450132844342, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (12, 45, 0.919434260240813, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (12, 59, 0.9587912087912088, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (12, 60, 0.9971797574811191, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (12, 61, 0.9587470933493465, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (12, 62, 0.35940350762983, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 32, 0.9201101928374655, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 33, 0.485736830010093, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 38, 20960, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 40, 21290, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 44, 0.9945450132844342, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 45, 0.919434260240813, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 59, 0.9587912087912088, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 60, 0.9971797574811191, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 61, 0.9587470933493465, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 62, 0.35940350762983, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (13, 33, 0.607, false, 2, 1, 2, 0.607, 0.607, 2, 1.023, 1);
INSERT INTO nst_metric VALUES (13, 32, 0.9198606271777003, true, 2, 1, 2, 0.9198606271777003, 0.8048780487804879, 1, 0.9198606271777003, 2);
INSERT INTO nst_metric VALUES (13, 38, 20960, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (13, 40, 21290, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (13, 59, 0.9258241758241759, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (13, 62, 0.5813023447990417, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (13, 80, 282732, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (13, 81, 208530, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (14, 88, '-Infinity', false, 4, 1, 5, '-Infinity', '-Infinity', 5, 'Infinity', 2);
INSERT INTO nst_metric VALUES (14, 33, NULL, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (14, 90, 'Infinity', true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric_point VALUES (2, 31, 1, 2.2753373778869057, NULL);
INSERT INTO nst_metric_point VALUES (2, 31, 2, 2.113588359868415, NULL);
INSERT INTO nst_metric_point VALUES (2, 31, 3, 2.0456579809991, NULL);
INSERT INTO nst_metric_point VALUES (2, 32, 1, 0.30578512396694213, NULL);
INSERT INTO nst_metric_point VALUES (2, 32, 2, 0.3608815426997245, NULL);
INSERT INTO nst_metric_point VALUES (2, 32, 3, 0.38016528925619836, NULL);
INSERT INTO nst_metric_point VALUES (2, 33, 1, 2.1233807832639546, NULL);
INSERT INTO nst_metric_point VALUES (2, 33, 2, 1.9987173505260447, NULL);
INSERT INTO nst_metric_point VALUES (2, 33, 3, 1.9651879002370012, NULL);
INSERT INTO nst_metric_point VALUES (2, 42, 1, 0.30578512396694213, NULL);
INSERT INTO nst_metric_point VALUES (2, 42, 2, 0.38016528925619836, NULL);
INSERT INTO nst_metric_point VALUES (3, 31, 1, 3.0838976766461523, NULL);
INSERT INTO nst_metric_point VALUES (3, 31, 2, 2.1594795449871884, NULL);
INSERT INTO nst_metric_point VALUES (3, 31, 3, 2.03333009069211, NULL);
INSERT INTO nst_metric_point VALUES (3, 32, 1, 0.3002754820936639, NULL);
INSERT INTO nst_metric_point VALUES (3, 32, 2, 0.36639118457300274, NULL);
INSERT INTO nst_metric_point VALUES (3, 32, 3, 0.42424242424242425, NULL);
INSERT INTO nst_metric_point VALUES (3, 33, 1, 2.0039678571556876, NULL);
INSERT INTO nst_metric_point VALUES (3, 33, 2, 1.8433040625020582, NULL);
INSERT INTO nst_metric_point VALUES (3, 33, 3, 1.8165221421201647, NULL);
INSERT INTO nst_metric_point VALUES (3, 42, 1, 0.3002754820936639, NULL);
INSERT INTO nst_metric_point VALUES (3, 42, 2, 0.42424242424242425, NULL);
INSERT INTO nst_metric_point VALUES (4, 31, 1, 1.5089129493615339, NULL);
INSERT INTO nst_metric_point VALUES (4, 31, 2, 0.7190399986561213, NULL);
INSERT INTO nst_metric_point VALUES (4, 31, 3, 0.5761813339785995, NULL);
INSERT INTO nst_metric_point VALUES (4, 32, 1, 0.8154269972451791, NULL);
INSERT INTO nst_metric_point VALUES (4, 32, 2, 0.9118457300275482, NULL);
INSERT INTO nst_metric_point VALUES (4, 32, 3, 0.928374655647383, NULL);
INSERT INTO nst_metric_point VALUES (4, 33, 1, 0.799093587369347, NULL);
INSERT INTO nst_metric_point VALUES (4, 33, 2, 0.5620376571016946, NULL);
INSERT INTO nst_metric_point VALUES (4, 33, 3, 0.5211604939028674, NULL);
INSERT INTO nst_metric_point VALUES (4, 42, 1, 0.8154269972451791, NULL);
INSERT INTO nst_metric_point VALUES (4, 42, 2, 0.928374655647383, NULL);
INSERT INTO nst_metric_point VALUES (5, 31, 1, 1.4876487994862495, NULL);
INSERT INTO nst_metric_point VALUES (5, 31, 2, 0.6963943712065153, NULL);
INSERT INTO nst_metric_point VALUES (5, 31, 3, 0.5600220045196675, NULL);
INSERT INTO nst_metric_point VALUES (5, 32, 1, 0.8071625344352618, NULL);
INSERT INTO nst_metric_point VALUES (5, 32, 2, 0.9090909090909091, NULL);
INSERT INTO nst_metric_point VALUES (5, 32, 3, 0.9201101928374655, NULL);
INSERT INTO nst_metric_point VALUES (5, 33, 1, 0.7830311461279577, NULL);
INSERT INTO nst_metric_point VALUES (5, 33, 2, 0.5473186161859532, NULL);
INSERT INTO nst_metric_point VALUES (5, 33, 3, 0.5070151952886167, NULL);
INSERT INTO nst_metric_point VALUES (6, 31, 1, 1.3838339148280776, NULL);
INSERT INTO nst_metric_point VALUES (6, 31, 2, 0.6417206677320961, NULL);
INSERT INTO nst_metric_point VALUES (6, 31, 3, 0.520358292855949, NULL);
INSERT INTO nst_metric_point VALUES (6, 32, 1, 0.8484848484848485, NULL);
INSERT INTO nst_metric_point VALUES (6, 32, 2, 0.9118457300275482, NULL);
INSERT INTO nst_metric_point VALUES (6, 32, 3, 0.9201101928374655, NULL);
INSERT INTO nst_metric_point VALUES (6, 33, 1, 0.7132800267682153, NULL);
INSERT INTO nst_metric_point VALUES (6, 33, 2, 0.49154505980850355, NULL);
INSERT INTO nst_metric_point VALUES (6, 33, 3, 0.46445846473156926, NULL);
INSERT INTO nst_metric_point VALUES (7, 31, 1, 2.9135402492273634, NULL);
INSERT INTO nst_metric_point VALUES (7, 31, 2, 2.111961128778547, NULL);
INSERT INTO nst_metric_point VALUES (7, 31, 3, 1.9666914619017983, NULL);
INSERT INTO nst_metric_point VALUES (7, 32, 1, 0.22589531680440772, NULL);
INSERT INTO nst_metric_point VALUES (7, 32, 2, 0.2892561983471074, NULL);
INSERT INTO nst_metric_point VALUES (7, 32, 3, 0.32231404958677684, NULL);
INSERT INTO nst_metric_point VALUES (7, 33, 1, 2.0239759914956164, NULL);
INSERT INTO nst_metric_point VALUES (7, 33, 2, 1.8198782026436726, NULL);
INSERT INTO nst_metric_point VALUES (7, 33, 3, 1.7186297026358979, NULL);
INSERT INTO nst_metric_point VALUES (8, 31, 1, 2.9738495849003304, NULL);
INSERT INTO nst_metric_point VALUES (8, 31, 2, 2.2116543680707985, NULL);
INSERT INTO nst_metric_point VALUES (8, 31, 3, 2.106528830305438, NULL);
INSERT INTO nst_metric_point VALUES (8, 32, 1, 0.162534435261708, NULL);
INSERT INTO nst_metric_point VALUES (8, 32, 2, 0.25068870523415976, NULL);
INSERT INTO nst_metric_point VALUES (8, 32, 3, 0.3002754820936639, NULL);
INSERT INTO nst_metric_point VALUES (8, 33, 1, 2.1518723923812226, NULL);
INSERT INTO nst_metric_point VALUES (8, 33, 2, 1.9875073068460238, NULL);
INSERT INTO nst_metric_point VALUES (8, 33, 3, 1.8947948705663005, NULL);
INSERT INTO nst_metric_point VALUES (9, 31, 1, 1.3564063092253047, NULL);
INSERT INTO nst_metric_point VALUES (9, 31, 2, 0.562371776516589, NULL);
INSERT INTO nst_metric_point VALUES (9, 31, 3, 0.4343106194717104, NULL);
INSERT INTO nst_metric_point VALUES (10, 31, 1, 1.2840778933732724, NULL);
INSERT INTO nst_metric_point VALUES (10, 31, 2, 0.5294264617784824, NULL);
INSERT INTO nst_metric_point VALUES (10, 31, 3, 0.42334325417137947, NULL);
INSERT INTO nst_metric_point VALUES (13, 32, 1, 0.8048780487804879, NULL);
INSERT INTO nst_metric_point VALUES (13, 33, 1, 1.023, NULL);
INSERT INTO nst_metric_point VALUES (13, 32, 2, 0.9198606271777003, NULL);
INSERT INTO nst_metric_point VALUES (13, 33, 2, 0.607, NULL);
INSERT INTO nst_metric_point VALUES (14, 88, 1, NULL, NULL);
INSERT INTO nst_metric_point VALUES (14, 88, 2, 'Infinity', NULL);
INSERT INTO nst_metric_point VALUES (14, 88, 3, -1.5, NULL);
INSERT INTO nst_metric_point VALUES (14, 88, 5, '-Infinity', NULL);
INSERT INTO nst_model VALUES (1, 'digits', 1795911630831406);
INSERT INTO nst_model_version VALUES (1, 1, 1, 1, 6, '{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}', NULL, 1795911630831406);
INSERT INTO nst_model_version VALUES (2, 1, 2, 13, 15, '{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}', NULL, 1795911633275947);
INSERT INTO nst_name VALUES (1, 'control');
INSERT INTO nst_name VALUES (2, 'data');
INSERT INTO nst_name VALUES (3, 'device');
INSERT INTO nst_name VALUES (4, 'ensemble');
INSERT INTO nst_name VALUES (5, 'epochs');
INSERT INTO nst_name VALUES (6, 'evaluate');
INSERT INTO nst_name VALUES (7, 'fidelity');
INSERT INTO nst_name VALUES (8, 'folds');
INSERT INTO nst_name VALUES (9, 'missing');
INSERT INTO nst_name VALUES (10, 'repeats');
INSERT INTO nst_name VALUES (11, 'scheduler');
INSERT INTO nst_name VALUES (12, 'seed');
INSERT INTO nst_name VALUES (13, 'space');
INSERT INTO nst_name VALUES (14, 'strategy');
INSERT INTO nst_name VALUES (15, 'task');
INSERT INTO nst_name VALUES (16, 'top');
INSERT INTO nst_name VALUES (17, 'trials');
INSERT INTO nst_name VALUES (18, 'workers');
INSERT INTO nst_name VALUES (19, 'activation');
INSERT INTO nst_name VALUES (20, 'augmentation');
INSERT INTO nst_name VALUES (21, 'batch_size');
INSERT INTO nst_name VALUES (22, 'dropout');
INSERT INTO nst_name VALUES (23, 'hidden/0/residual/linear/out_features');
INSERT INTO nst_name VALUES (24, 'hidden/0/residual/skip');
INSERT INTO nst_name VALUES (25, 'hidden/count');
INSERT INTO nst_name VALUES (26, 'label_smoothing');
INSERT INTO nst_name VALUES (27, 'learning_rate');
INSERT INTO nst_name VALUES (28, 'normalisation');
INSERT INTO nst_name VALUES (29, 'optimizer');
INSERT INTO nst_name VALUES (30, 'weight_decay');
INSERT INTO nst_name VALUES (31, 'train_loss');
INSERT INTO nst_name VALUES (32, 'val_accuracy');
INSERT INTO nst_name VALUES (33, 'val_loss');
INSERT INTO nst_name VALUES (34, 'best_epoch');
INSERT INTO nst_name VALUES (35, 'buffers');
INSERT INTO nst_name VALUES (36, 'hidden/1/residual/linear/out_features');
INSERT INTO nst_name VALUES (37, 'hidden/1/residual/skip');
INSERT INTO nst_name VALUES (38, 'macs');
INSERT INTO nst_name VALUES (39, 'model_bytes');
INSERT INTO nst_name VALUES (40, 'parameters');
INSERT INTO nst_name VALUES (41, 'peak_activation_bytes');
INSERT INTO nst_name VALUES (42, 'step/val_accuracy');
INSERT INTO nst_name VALUES (43, 'upload_bytes');
INSERT INTO nst_name VALUES (44, 'val_auroc');
INSERT INTO nst_name VALUES (45, 'val_f1');
INSERT INTO nst_name VALUES (46, 'member');
INSERT INTO nst_name VALUES (47, 'phase');
INSERT INTO nst_name VALUES (48, 'trial');
INSERT INTO nst_name VALUES (49, 'model.0.run');
INSERT INTO nst_name VALUES (50, 'model.0.weight');
INSERT INTO nst_name VALUES (51, 'random search.0');
INSERT INTO nst_name VALUES (52, 'random search.1');
INSERT INTO nst_name VALUES (53, 'references.kernel.alpha');
INSERT INTO nst_name VALUES (54, 'references.kernel.gamma');
INSERT INTO nst_name VALUES (55, 'references.logistic.c');
INSERT INTO nst_name VALUES (56, 'references.neighbours.neighbours');
INSERT INTO nst_name VALUES (57, 'winner.0');
INSERT INTO nst_name VALUES (58, 'winner.1');
INSERT INTO nst_name VALUES (59, 'test_accuracy');
INSERT INTO nst_name VALUES (60, 'test_auroc');
INSERT INTO nst_name VALUES (61, 'test_f1');
INSERT INTO nst_name VALUES (62, 'test_loss');
INSERT INTO nst_name VALUES (63, 'networks.0.run');
INSERT INTO nst_name VALUES (64, 'networks.0.weight');
INSERT INTO nst_name VALUES (65, 'alpha');
INSERT INTO nst_name VALUES (66, 'bits');
INSERT INTO nst_name VALUES (67, 'clients');
INSERT INTO nst_name VALUES (68, 'clip');
INSERT INTO nst_name VALUES (70, 'delta');
INSERT INTO nst_name VALUES (72, 'masked');
INSERT INTO nst_name VALUES (73, 'rounds');
INSERT INTO nst_name VALUES (74, 'scheme');
INSERT INTO nst_name VALUES (76, 'split_seed');
INSERT INTO nst_name VALUES (80, 'bytes_down');
INSERT INTO nst_name VALUES (81, 'bytes_up');
INSERT INTO nst_name VALUES (88, 'loss');
INSERT INTO nst_name VALUES (90, 'worst');
INSERT INTO nst_node VALUES (1, '01M8JASHKCTBFKGFPE6KC18S0F', 'site-1', NULL, 1795911632492635, 1795911633028569);
INSERT INTO nst_node VALUES (2, '01M8JASHKSC9DPEXYGHV1CREMD', 'site-2', NULL, 1795911632505205, 1795911633028569);
INSERT INTO nst_node VALUES (3, '01M8JASHMG1RPBXDYEXKK5V58M', 'site-3', NULL, 1795911632528584, 1795911633028569);
INSERT INTO nst_param VALUES (1, 2, 'digits', NULL, true);
INSERT INTO nst_param VALUES (1, 9, 'refuse', NULL, true);
INSERT INTO nst_param VALUES (1, 15, 'classification', NULL, true);
INSERT INTO nst_param VALUES (1, 17, '3', 3, false);
INSERT INTO nst_param VALUES (1, 12, '0', 0, false);
INSERT INTO nst_param VALUES (1, 13, 'mlp', NULL, true);
INSERT INTO nst_param VALUES (1, 14, 'predictor', NULL, true);
INSERT INTO nst_param VALUES (1, 5, '3', 3, false);
INSERT INTO nst_param VALUES (1, 11, 'asha', NULL, true);
INSERT INTO nst_param VALUES (1, 7, 'epochs', NULL, true);
INSERT INTO nst_param VALUES (1, 6, 'training', NULL, true);
INSERT INTO nst_param VALUES (1, 8, 'auto', NULL, true);
INSERT INTO nst_param VALUES (1, 18, '1', 1, false);
INSERT INTO nst_param VALUES (1, 3, 'cpu', NULL, true);
INSERT INTO nst_param VALUES (1, 16, '2', 2, false);
INSERT INTO nst_param VALUES (1, 10, '2', 2, false);
INSERT INTO nst_param VALUES (1, 4, 'false', 0, false);
INSERT INTO nst_param VALUES (1, 1, 'start', NULL, true);
INSERT INTO nst_param VALUES (2, 25, '1', 1, false);
INSERT INTO nst_param VALUES (2, 24, 'false', 0, false);
INSERT INTO nst_param VALUES (2, 23, '32', 32, false);
INSERT INTO nst_param VALUES (2, 28, 'layer_norm', NULL, true);
INSERT INTO nst_param VALUES (2, 19, 'silu', NULL, true);
INSERT INTO nst_param VALUES (2, 22, '0.1', NULL, true);
INSERT INTO nst_param VALUES (2, 29, 'sgd', NULL, true);
INSERT INTO nst_param VALUES (2, 27, '0.0010517797702675885', 0.0010517797702675885, false);
INSERT INTO nst_param VALUES (2, 30, '0.0005869876248101384', 0.0005869876248101384, false);
INSERT INTO nst_param VALUES (2, 21, '32', 32, false);
INSERT INTO nst_param VALUES (2, 26, '0.1', 0.1, false);
INSERT INTO nst_param VALUES (2, 20, 'none', NULL, true);
INSERT INTO nst_param VALUES (3, 25, '2', 2, false);
INSERT INTO nst_param VALUES (3, 24, 'true', 1, false);
INSERT INTO nst_param VALUES (3, 23, '16', 16, false);
INSERT INTO nst_param VALUES (3, 28, 'none', NULL, true);
INSERT INTO nst_param VALUES (3, 19, 'gelu', NULL, true);
INSERT INTO nst_param VALUES (3, 22, '0.3', NULL, true);
INSERT INTO nst_param VALUES (3, 37, 'true', 1, false);
INSERT INTO nst_param VALUES (3, 36, '128', 128, false);
INSERT INTO nst_param VALUES (3, 29, 'sgd', NULL, true);
INSERT INTO nst_param VALUES (3, 27, '0.047333846967403385', 0.047333846967403385, false);
INSERT INTO nst_param VALUES (3, 30, '0.0001222864953067889', 0.0001222864953067889, false);
INSERT INTO nst_param VALUES (3, 21, '128', 128, false);
INSERT INTO nst_param VALUES (3, 26, '0.0', 0, false);
INSERT INTO nst_param VALUES (3, 20, 'shift', NULL, true);
INSERT INTO nst_param VALUES (4, 25, '2', 2, false);
INSERT INTO nst_param VALUES (4, 24, 'true', 1, false);
INSERT INTO nst_param VALUES (4, 23, '128', 128, false);
INSERT INTO nst_param VALUES (4, 28, 'batch_norm', NULL, true);
INSERT INTO nst_param VALUES (4, 19, 'silu', NULL, true);
INSERT INTO nst_param VALUES (4, 22, '0', NULL, true);
INSERT INTO nst_param VALUES (4, 37, 'false', 0, false);
INSERT INTO nst_param VALUES (4, 36, '32', 32, false);
INSERT INTO nst_param VALUES (4, 29, 'adamw', NULL, true);
INSERT INTO nst_param VALUES (4, 27, '0.003028292180937933', 0.003028292180937933, false);
INSERT INTO nst_param VALUES (4, 30, '0.00036807390839636', 0.00036807390839636, false);
INSERT INTO nst_param VALUES (4, 21, '64', 64, false);
INSERT INTO nst_param VALUES (4, 26, '0.0', 0, false);
INSERT INTO nst_param VALUES (4, 20, 'cutout', NULL, true);
INSERT INTO nst_param VALUES (5, 47, 'validate', NULL, true);
INSERT INTO nst_param VALUES (5, 48, '01M8JAS7RQGTD8G6S6QNZ7GN5M', NULL, true);
INSERT INTO nst_param VALUES (5, 46, '0', 0, false);
INSERT INTO nst_param VALUES (6, 47, 'validate', NULL, true);
INSERT INTO nst_param VALUES (6, 48, '01M8JAS7RQGTD8G6S6QNZ7GN5M', NULL, true);
INSERT INTO nst_param VALUES (6, 46, '1', 1, false);
INSERT INTO nst_param VALUES (7, 47, 'validate', NULL, true);
INSERT INTO nst_param VALUES (7, 48, '01M8JAS7B4NKW1WA9V303MQEBH', NULL, true);
INSERT INTO nst_param VALUES (7, 46, '0', 0, false);
INSERT INTO nst_param VALUES (8, 47, 'validate', NULL, true);
INSERT INTO nst_param VALUES (8, 48, '01M8JAS7B4NKW1WA9V303MQEBH', NULL, true);
INSERT INTO nst_param VALUES (8, 46, '1', 1, false);
INSERT INTO nst_param VALUES (9, 47, 'fit', NULL, true);
INSERT INTO nst_param VALUES (9, 48, '01M8JAS7RQGTD8G6S6QNZ7GN5M', NULL, true);
INSERT INTO nst_param VALUES (9, 46, '0', 0, false);
INSERT INTO nst_param VALUES (9, 5, '3', 3, false);
INSERT INTO nst_param VALUES (10, 47, 'fit', NULL, true);
INSERT INTO nst_param VALUES (10, 48, '01M8JAS7RQGTD8G6S6QNZ7GN5M', NULL, true);
INSERT INTO nst_param VALUES (10, 46, '1', 1, false);
INSERT INTO nst_param VALUES (10, 5, '3', 3, false);
INSERT INTO nst_param VALUES (11, 47, 'test', NULL, true);
INSERT INTO nst_param VALUES (11, 49, '01M8JASBC1ABTFBAVV2HKK2SB6', NULL, true);
INSERT INTO nst_param VALUES (11, 50, '1.0', 1, false);
INSERT INTO nst_param VALUES (11, 57, '01M8JASBC1ABTFBAVV2HKK2SB6', NULL, true);
INSERT INTO nst_param VALUES (11, 58, '01M8JASBK4YG1MAPYZDN0NXZ79', NULL, true);
INSERT INTO nst_param VALUES (11, 51, '01M8JASBC1ABTFBAVV2HKK2SB6', NULL, true);
INSERT INTO nst_param VALUES (11, 52, '01M8JASBK4YG1MAPYZDN0NXZ79', NULL, true);
INSERT INTO nst_param VALUES (11, 55, '1.0', 1, false);
INSERT INTO nst_param VALUES (11, 56, '1.0', 1, false);
INSERT INTO nst_param VALUES (11, 54, '3.0', 3, false);
INSERT INTO nst_param VALUES (11, 53, '0.001', 0.001, false);
INSERT INTO nst_param VALUES (12, 47, 'model', NULL, true);
INSERT INTO nst_param VALUES (12, 63, '01M8JASBC1ABTFBAVV2HKK2SB6', NULL, true);
INSERT INTO nst_param VALUES (12, 64, '1.0', 1, false);
INSERT INTO nst_param VALUES (13, 2, 'digits', NULL, true);
INSERT INTO nst_param VALUES (13, 67, '3', 3, false);
INSERT INTO nst_param VALUES (13, 73, '2', 2, false);
INSERT INTO nst_param VALUES (13, 12, '0', 0, false);
INSERT INTO nst_param VALUES (13, 76, '0', 0, false);
INSERT INTO nst_param VALUES (13, 65, '0.5', 0.5, false);
INSERT INTO nst_param VALUES (13, 74, 'plain', NULL, true);
INSERT INTO nst_param VALUES (13, 66, '8', 8, false);
INSERT INTO nst_param VALUES (13, 70, '1e-05', 1e-05, false);
INSERT INTO nst_param VALUES (13, 68, '1.0', 1, false);
INSERT INTO nst_param VALUES (13, 72, 'false', 0, false);
INSERT INTO nst_param VALUES (13, 5, '2', 2, false);
INSERT INTO nst_param VALUES (13, 18, '2', 2, false);
INSERT INTO nst_param VALUES (14, 5, '1', 1, false);
INSERT INTO nst_param VALUES (14, 17, '1', 1, false);
INSERT INTO nst_round VALUES (13, 1, 'completed', 3, 0, 69510, 5523, 255480, 0.0014074880018597469, 0.18816350799897918, 1795911632593980);
INSERT INTO nst_round VALUES (13, 2, 'completed', 3, 0, 69510, 92403, 255480, 0.0010677019963623025, 0.15742483599751722, 1795911632848966);
INSERT INTO nst_run VALUES (2, '01M8JAS3ZE9ZKYC995PKXNZ6SK', NULL, 'trial', 'completed', 1, 1, 'digits', 8867601057144543979, '{}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911618534279, 1795911621950165, NULL, NULL);
INSERT INTO nst_run VALUES (3, '01M8JAS7B4NKW1WA9V303MQEBH', NULL, 'trial', 'completed', 1, 1, 'digits', 357969636515125329, '{}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911621985201, 1795911622362210, NULL, NULL);
INSERT INTO nst_run VALUES (4, '01M8JAS7RQGTD8G6S6QNZ7GN5M', NULL, 'trial', 'completed', 1, 1, 'digits', 1134459820640780124, '{}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911622422337, 1795911625272178, NULL, NULL);
INSERT INTO nst_run VALUES (5, '01M8JASAQMTDN387ZPT8K6ART6', NULL, 'retrain', 'completed', 1, 1, 'digits', 3610895241450063243, '{"phase":"validate","trial":"01M8JAS7RQGTD8G6S6QNZ7GN5M","member":0}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911625460940, 1795911625583317, NULL, NULL);
INSERT INTO nst_run VALUES (6, '01M8JASAX42QSDKQJKGARQ4HCH', NULL, 'retrain', 'completed', 1, 1, 'digits', 3985662445467725830, '{"phase":"validate","trial":"01M8JAS7RQGTD8G6S6QNZ7GN5M","member":1}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911625636651, 1795911625770610, NULL, NULL);
INSERT INTO nst_run VALUES (7, '01M8JASB2QWKP37KAFTBSCWQHW', NULL, 'retrain', 'completed', 1, 1, 'digits', 3966276870481703034, '{"phase":"validate","trial":"01M8JAS7B4NKW1WA9V303MQEBH","member":0}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911625815671, 1795911625906364, NULL, NULL);
INSERT INTO nst_run VALUES (8, '01M8JASB6FS7VKP3Z02N2BH7YC', NULL, 'retrain', 'completed', 1, 1, 'digits', 9219448030167551484, '{"phase":"validate","trial":"01M8JAS7B4NKW1WA9V303MQEBH","member":1}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911625935918, 1795911626068544, NULL, NULL);
INSERT INTO nst_run VALUES (9, '01M8JASBC1ABTFBAVV2HKK2SB6', NULL, 'retrain', 'completed', 1, 1, 'digits', 3610895241450063243, '{"phase":"fit","trial":"01M8JAS7RQGTD8G6S6QNZ7GN5M","member":0,"epochs":3}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911626114116, 1795911626282291, NULL, NULL);
INSERT INTO nst_run VALUES (10, '01M8JASBK4YG1MAPYZDN0NXZ79', NULL, 'retrain', 'completed', 1, 1, 'digits', 3985662445467725830, '{"phase":"fit","trial":"01M8JAS7RQGTD8G6S6QNZ7GN5M","member":1,"epochs":3}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911626340680, 1795911626583836, NULL, NULL);
INSERT INTO nst_run VALUES (11, '01M8JASFBYE8KD9C4BNKPB7YF2', NULL, 'eval', 'completed', 1, 1, 'digits', 5395224432541360762, '{"phase":"test","model":[{"run":"01M8JASBC1ABTFBAVV2HKK2SB6","weight":1.0}],"winner":["01M8JASBC1ABTFBAVV2HKK2SB6","01M8JASBK4YG1MAPYZDN0NXZ79"],"random search":["01M8JASBC1ABTFBAVV2HKK2SB6","01M8JASBK4YG1MAPYZDN0NXZ79"],"references":{"constant":{},"logistic":{"c":1.0},"neighbours":{"neighbours":1.0},"kernel":{"gamma":3.0,"alpha":0.001}}}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911630207059, 1795911630659925, NULL, NULL);
INSERT INTO nst_run VALUES (12, '01M8JASFVXE5X49NKRTZZQZDET', NULL, 'retrain', 'completed', 1, 1, 'digits', 3610895241450063243, '{"phase":"model","networks":[{"run":"01M8JASBC1ABTFBAVV2HKK2SB6","weight":1.0}]}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911630717708, 1795911630820112, NULL, NULL);
INSERT INTO nst_run VALUES (1, '01M8JAS2XMX31WSAPF2A95BPV7', 1, 'search', 'completed', 1, NULL, 'digits', 0, '{"data":"digits","target":null,"missing":"refuse","task":"classification","trials":3,"seed":0,"space":"mlp","strategy":"predictor","objectives":null,"constraints":[],"epochs":3,"scheduler":"asha","fidelity":"epochs","evaluate":"training","zero_cost":null,"folds":"auto","workers":1,"device":"cpu","trial_memory":null,"trial_seconds":null,"seconds":null,"cpu_seconds":null,"upload_bytes":null,"stop_at":null,"stop_after":null,"warm_start":[],"top":2,"repeats":2,"ensemble":false,"control":"start","control_of":null}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911617466888, 1795911630881045, NULL, NULL);
INSERT INTO nst_run VALUES (13, '01M8JASHEWE26P7C5VTWDZ93V8', 2, 'federated', 'completed', 1, NULL, 'digits', 0, '{"data":"digits","target":null,"clients":3,"rounds":2,"seed":0,"split_seed":0,"alpha":0.5,"scheme":"plain","bits":8,"epsilon":null,"delta":1e-05,"clip":1.0,"masked":false,"epochs":2,"workers":2}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911632357027, 1795911633332617, NULL, NULL);
INSERT INTO nst_run VALUES (14, '01M8JASJHRTX4G515JJMZH40E6', 3, 'search', 'failed', 1, NULL, 'left', 1, '{"epochs":1,"trials":1}', 1, 'vm', 8562, 'e82d386b-9e49-4aec-8475-13116a4a749a/3585031', 1795911633469341, 1795911633530240, NULL, 'boom');
INSERT INTO nst_run_artifact VALUES (5, 'predictions', 'predictions.npy', 1);
INSERT INTO nst_run_artifact VALUES (6, 'predictions', 'predictions.npy', 2);
INSERT INTO nst_run_artifact VALUES (7, 'predictions', 'predictions.npy', 3);
INSERT INTO nst_run_artifact VALUES (8, 'predictions', 'predictions.npy', 4);
INSERT INTO nst_run_artifact VALUES (9, 'model', 'model.json', 5);
INSERT INTO nst_run_artifact VALUES (9, 'model', 'weights.safetensors', 6);
INSERT INTO nst_run_artifact VALUES (10, 'model', 'model.json', 7);
INSERT INTO nst_run_artifact VALUES (10, 'model', 'weights.safetensors', 8);
INSERT INTO nst_run_artifact VALUES (11, 'report', 'report.json', 9);
INSERT INTO nst_run_artifact VALUES (12, 'model', 'model.json', 10);
INSERT INTO nst_run_artifact VALUES (12, 'model', 'weights.safetensors', 6);
INSERT INTO nst_run_artifact VALUES (1, 'model', 'model.json', 10);
INSERT INTO nst_run_artifact VALUES (1, 'model', 'weights.safetensors', 6);
INSERT INTO nst_run_artifact VALUES (13, 'model', 'model.json', 14);
INSERT INTO nst_run_artifact VALUES (13, 'model', 'weights.safetensors', 15);
INSERT INTO nst_run_dataset VALUES (1, 'data', 1);
INSERT INTO nst_run_dataset VALUES (13, 'data', 1);
INSERT INTO nst_run_dataset VALUES (13, 'site/site-1', 3);
INSERT INTO nst_run_dataset VALUES (13, 'site/site-2', 4);
INSERT INTO nst_run_dataset VALUES (13, 'site/site-3', 5);
INSERT INTO nst_run_dataset VALUES (14, 'data', 6);
INSERT INTO nst_search VALUES (1, 'mlp', 'c6f2bd9b0f99a9bd575c348ae7fc2de87317bc9191d166a88cc31c43a05a3d31', 'predictor', 'asha', '[["val_accuracy","maximize"]]', 3, 'nasturtium-01M8JAS2XMX31WSAPF2A95BPV7', 6966606, 1795911630900953, 1795911660900953, NULL, '{"format":"nasturtium.space","version":1,"name":"mlp","template":[[{"layer":"flatten"}],{"repeat":[1,4],"node":[{"residual":[{"layer":"linear","out_features":{"choice":[16,32,64,128,256]}},{"choice":{"none":[],"batch_norm":{"layer":"batch_norm"},"layer_norm":{"layer":"layer_norm"}},"name":"normalisation"}],"skip":"optional"},{"layer":"activation","function":{"choice":["relu","gelu","silu"],"name":"activation"}},{"choice":{"0":[],"0.1":{"layer":"dropout","rate":0.1},"0.3":{"layer":"dropout","rate":0.3}},"name":"dropout"}],"name":"hidden"},{"layer":"linear","out_features":{"outputs":true}}],"hyperparameters":{"optimizer":{"choice":["adamw","sgd"]},"learning_rate":{"float":[0.0005,0.05],"log":true},"weight_decay":{"float":[1e-05,0.1],"log":true},"batch_size":{"choice":[32,64,128]},"label_smoothing":{"choice":[0.0,0.1]},"augmentation":{"choice":["none","shift","cutout","mixup"]}},"total":true}');
INSERT INTO nst_search VALUES (14, 'mlp', 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', 'tpe', 'median', '[["val_accuracy","maximize"]]', 1, 'nasturtium-01M8JASJHRTX4G515JJMZH40E6', NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_trial VALUES (2, 1, 0, 1, 1, '{"optimizer":"sgd","learning_rate":0.0010517797702675885,"weight_decay":0.0005869876248101384,"batch_size":32,"label_smoothing":0.1,"augmentation":"none"}', NULL, '{"architecture/hidden/count":1,"architecture/hidden/0/residual/skip":false,"architecture/hidden/0/residual/linear/out_features":32,"architecture/normalisation":"layer_norm","architecture/activation":"silu","architecture/dropout":"0.1","architecture/hidden/1/residual/skip":true,"architecture/hidden/1/residual/linear/out_features":256,"architecture/hidden/2/residual/skip":true,"architecture/hidden/2/residual/linear/out_features":128,"architecture/hidden/3/residual/skip":false,"architecture/hidden/3/residual/linear/out_features":16,"training/optimizer":"sgd","training/learning_rate":0.0010517797702675885,"training/weight_decay":0.0005869876248101384,"training/batch_size":32,"training/label_smoothing":0.1,"training/augmentation":"none"}', NULL, 0.552939, 56262656, 3, 0.24109398200380383, NULL);
INSERT INTO nst_trial VALUES (3, 1, 1, 1, 2, '{"optimizer":"sgd","learning_rate":0.047333846967403385,"weight_decay":0.0001222864953067889,"batch_size":128,"label_smoothing":0.0,"augmentation":"shift"}', NULL, '{"architecture/hidden/count":2,"architecture/hidden/0/residual/skip":true,"architecture/hidden/0/residual/linear/out_features":16,"architecture/normalisation":"none","architecture/activation":"gelu","architecture/dropout":"0.3","architecture/hidden/1/residual/skip":true,"architecture/hidden/1/residual/linear/out_features":128,"architecture/hidden/2/residual/skip":true,"architecture/hidden/2/residual/linear/out_features":64,"architecture/hidden/3/residual/skip":false,"architecture/hidden/3/residual/linear/out_features":256,"training/optimizer":"sgd","training/learning_rate":0.047333846967403385,"training/weight_decay":0.0001222864953067889,"training/batch_size":128,"training/label_smoothing":0.0,"training/augmentation":"shift"}', NULL, 0.555315, 57393152, 3, 0.28023942100116983, NULL);
INSERT INTO nst_trial VALUES (4, 1, 2, 1, 3, '{"optimizer":"adamw","learning_rate":0.003028292180937933,"weight_decay":0.00036807390839636,"batch_size":64,"label_smoothing":0.0,"augmentation":"cutout"}', NULL, '{"architecture/hidden/count":2,"architecture/hidden/0/residual/skip":true,"architecture/hidden/0/residual/linear/out_features":128,"architecture/normalisation":"batch_norm","architecture/activation":"silu","architecture/dropout":"0","architecture/hidden/1/residual/skip":false,"architecture/hidden/1/residual/linear/out_features":32,"architecture/hidden/2/residual/skip":true,"architecture/hidden/2/residual/linear/out_features":64,"architecture/hidden/3/residual/skip":true,"architecture/hidden/3/residual/linear/out_features":32,"training/optimizer":"adamw","training/learning_rate":0.003028292180937933,"training/weight_decay":0.00036807390839636,"training/batch_size":64,"training/label_smoothing":0.0,"training/augmentation":"cutout"}', NULL, 0.545912, 57188352, 3, 0.256902157998411, NULL);
INSERT INTO studies VALUES (1, 'nasturtium-01M8JAS2XMX31WSAPF2A95BPV7');
INSERT INTO study_directions VALUES (1, 'MAXIMIZE', 1, 0);
INSERT INTO study_system_attributes VALUES (1, 1, 'study:metric_names', '["val_accuracy"]');
INSERT INTO study_user_attributes VALUES (1, 1, 'uid', '"01M8JAS2XMX31WSAPF2A95BPV7"');
INSERT INTO study_user_attributes VALUES (2, 1, 'space', '"mlp"');
INSERT INTO study_user_attributes VALUES (3, 1, 'strategy', '"predictor"');
INSERT INTO trial_intermediate_values VALUES (1, 1, 1, 0.30578512396694213, 'FINITE');
INSERT INTO trial_intermediate_values VALUES (2, 1, 2, 0.3608815426997245, 'FINITE');
INSERT INTO trial_intermediate_values VALUES (3, 1, 3, 0.38016528925619836, 'FINITE');
INSERT INTO trial_intermediate_values VALUES (4, 2, 1, 0.3002754820936639, 'FINITE');
INSERT INTO trial_intermediate_values VALUES (5, 2, 2, 0.36639118457300274, 'FINITE');
INSERT INTO trial_intermediate_values VALUES (6, 2, 3, 0.42424242424242425, 'FINITE');
INSERT INTO trial_intermediate_values VALUES (7, 3, 1, 0.8154269972451791, 'FINITE');
INSERT INTO trial_intermediate_values VALUES (8, 3, 2, 0.9118457300275482, 'FINITE');
INSERT INTO trial_intermediate_values VALUES (9, 3, 3, 0.928374655647383, 'FINITE');
INSERT INTO trial_params VALUES (1, 1, 'architecture/hidden/count', 1, '{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO trial_params VALUES (2, 1, 'architecture/hidden/0/residual/skip', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (3, 1, 'architecture/hidden/0/residual/linear/out_features', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (4, 1, 'architecture/normalisation', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO trial_params VALUES (5, 1, 'architecture/activation', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO trial_params VALUES (6, 1, 'architecture/dropout', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["0", "0.1", "0.3"]}}');
INSERT INTO trial_params VALUES (7, 1, 'architecture/hidden/1/residual/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (8, 1, 'architecture/hidden/1/residual/linear/out_features', 4, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (9, 1, 'architecture/hidden/2/residual/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (10, 1, 'architecture/hidden/2/residual/linear/out_features', 3, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (11, 1, 'architecture/hidden/3/residual/skip', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (12, 1, 'architecture/hidden/3/residual/linear/out_features', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (13, 1, 'training/optimizer', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "sgd"]}}');
INSERT INTO trial_params VALUES (14, 1, 'training/learning_rate', 0.0010517797702675885, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.05, "log": true}}');
INSERT INTO trial_params VALUES (15, 1, 'training/weight_decay', 0.0005869876248101384, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO trial_params VALUES (16, 1, 'training/batch_size', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [32, 64, 128]}}');
INSERT INTO trial_params VALUES (17, 1, 'training/label_smoothing', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1]}}');
INSERT INTO trial_params VALUES (18, 1, 'training/augmentation', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "shift", "cutout", "mixup"]}}');
INSERT INTO trial_params VALUES (19, 2, 'architecture/hidden/count', 2, '{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO trial_params VALUES (20, 2, 'architecture/hidden/0/residual/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (21, 2, 'architecture/hidden/0/residual/linear/out_features', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (22, 2, 'architecture/normalisation', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO trial_params VALUES (23, 2, 'architecture/activation', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO trial_params VALUES (24, 2, 'architecture/dropout', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": ["0", "0.1", "0.3"]}}');
INSERT INTO trial_params VALUES (25, 2, 'architecture/hidden/1/residual/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (26, 2, 'architecture/hidden/1/residual/linear/out_features', 3, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (27, 2, 'architecture/hidden/2/residual/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (28, 2, 'architecture/hidden/2/residual/linear/out_features', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (29, 2, 'architecture/hidden/3/residual/skip', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (30, 2, 'architecture/hidden/3/residual/linear/out_features', 4, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (31, 2, 'training/optimizer', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "sgd"]}}');
INSERT INTO trial_params VALUES (32, 2, 'training/learning_rate', 0.047333846967403385, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.05, "log": true}}');
INSERT INTO trial_params VALUES (33, 2, 'training/weight_decay', 0.0001222864953067889, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO trial_params VALUES (34, 2, 'training/batch_size', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [32, 64, 128]}}');
INSERT INTO trial_params VALUES (35, 2, 'training/label_smoothing', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1]}}');
INSERT INTO trial_params VALUES (36, 2, 'training/augmentation', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "shift", "cutout", "mixup"]}}');
INSERT INTO trial_params VALUES (37, 3, 'architecture/hidden/count', 2, '{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO trial_params VALUES (38, 3, 'architecture/hidden/0/residual/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (39, 3, 'architecture/hidden/0/residual/linear/out_features', 3, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (40, 3, 'architecture/normalisation', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO trial_params VALUES (41, 3, 'architecture/activation', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO trial_params VALUES (42, 3, 'architecture/dropout', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["0", "0.1", "0.3"]}}');
INSERT INTO trial_params VALUES (43, 3, 'architecture/hidden/1/residual/skip', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (44, 3, 'architecture/hidden/1/residual/linear/out_features', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (45, 3, 'architecture/hidden/2/residual/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (46, 3, 'architecture/hidden/2/residual/linear/out_features', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (47, 3, 'architecture/hidden/3/residual/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (48, 3, 'architecture/hidden/3/residual/linear/out_features', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (49, 3, 'training/optimizer', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "sgd"]}}');
INSERT INTO trial_params VALUES (50, 3, 'training/learning_rate', 0.003028292180937933, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.05, "log": true}}');
INSERT INTO trial_params VALUES (51, 3, 'training/weight_decay', 0.00036807390839636, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO trial_params VALUES (52, 3, 'training/batch_size', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [32, 64, 128]}}');
INSERT INTO trial_params VALUES (53, 3, 'training/label_smoothing', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1]}}');
INSERT INTO trial_params VALUES (54, 3, 'training/augmentation', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "shift", "cutout", "mixup"]}}');
INSERT INTO trial_user_attributes VALUES (1, 1, 'uid', '"01M8JAS3ZE9ZKYC995PKXNZ6SK"');
INSERT INTO trial_user_attributes VALUES (2, 1, 'attempt', '1');
INSERT INTO trial_user_attributes VALUES (3, 1, 'architecture', '"0bdfa7ef2b4dc0574eea731960e56e49ca60ebe27c3f1556b5f17f0367f7c6b3"');
INSERT INTO trial_user_attributes VALUES (4, 1, 'parameters', '2474');
INSERT INTO trial_user_attributes VALUES (5, 1, 'macs', '2432');
INSERT INTO trial_user_attributes VALUES (6, 1, 'metrics', '{"best_epoch": 3.0, "buffers": 0.0, "macs": 2432.0, "model_bytes": 9896.0, "parameters": 2474.0, "peak_activation_bytes": 512.0, "step/val_accuracy": 0.38016528925619836, "train_loss": 2.0456579809991, "upload_bytes": 6922.0, "val_accuracy": 0.38016528925619836, "val_auroc": 0.7405601550294678, "val_f1": 0.31551266842940295, "val_loss": 1.9651879002370012}');
INSERT INTO trial_user_attributes VALUES (7, 1, 'epochs', '3');
INSERT INTO trial_user_attributes VALUES (8, 2, 'uid', '"01M8JAS7B4NKW1WA9V303MQEBH"');
INSERT INTO trial_user_attributes VALUES (9, 2, 'attempt', '1');
INSERT INTO trial_user_attributes VALUES (10, 2, 'architecture', '"19e12b49b232aaa8f1cb50e9ed3809e4fb67588438a21705dd1d54d36912a0d9"');
INSERT INTO trial_user_attributes VALUES (11, 2, 'parameters', '7578');
INSERT INTO trial_user_attributes VALUES (12, 2, 'macs', '7424');
INSERT INTO trial_user_attributes VALUES (13, 2, 'metrics', '{"best_epoch": 3.0, "buffers": 0.0, "macs": 7424.0, "model_bytes": 30312.0, "parameters": 7578.0, "peak_activation_bytes": 1536.0, "step/val_accuracy": 0.42424242424242425, "train_loss": 2.03333009069211, "upload_bytes": 14090.0, "val_accuracy": 0.42424242424242425, "val_auroc": 0.7565598795793752, "val_f1": 0.35828925595780214, "val_loss": 1.8165221421201647}');
INSERT INTO trial_user_attributes VALUES (14, 2, 'epochs', '3');
INSERT INTO trial_user_attributes VALUES (15, 3, 'uid', '"01M8JAS7RQGTD8G6S6QNZ7GN5M"');
INSERT INTO trial_user_attributes VALUES (16, 3, 'attempt', '1');
INSERT INTO trial_user_attributes VALUES (17, 3, 'architecture', '"9f58c11a2061456c6047457ec62af81f5212debd81fc121202b5e4c77534177c"');
INSERT INTO trial_user_attributes VALUES (18, 3, 'parameters', '21290');
INSERT INTO trial_user_attributes VALUES (19, 3, 'macs', '20960');
INSERT INTO trial_user_attributes VALUES (20, 3, 'metrics', '{"best_epoch": 3.0, "buffers": 320.0, "macs": 20960.0, "model_bytes": 86440.0, "parameters": 21290.0, "peak_activation_bytes": 1536.0, "step/val_accuracy": 0.928374655647383, "train_loss": 0.5761813339785995, "upload_bytes": 41866.0, "val_accuracy": 0.928374655647383, "val_auroc": 0.9943796976656951, "val_f1": 0.9269971508475029, "val_loss": 0.5211604939028674}');
INSERT INTO trial_user_attributes VALUES (21, 3, 'epochs', '3');
INSERT INTO trial_values VALUES (1, 1, 0, 0.38016528925619836, 'FINITE');
INSERT INTO trial_values VALUES (2, 2, 0, 0.42424242424242425, 'FINITE');
INSERT INTO trial_values VALUES (3, 3, 0, 0.928374655647383, 'FINITE');
INSERT INTO trials VALUES (1, 0, 1, 'COMPLETE', '2026-11-29 00:20:18.534279', '2026-11-29 00:20:21.950165');
INSERT INTO trials VALUES (2, 1, 1, 'COMPLETE', '2026-11-29 00:20:21.985201', '2026-11-29 00:20:22.36221');
INSERT INTO trials VALUES (3, 2, 1, 'COMPLETE', '2026-11-29 00:20:22.422337', '2026-11-29 00:20:25.272178');
INSERT INTO version_info VALUES (1, 12, '5.0.0');
SELECT pg_catalog.setval('nst_architecture_id_seq', 3, true);
SELECT pg_catalog.setval('nst_artifact_id_seq', 15, true);
SELECT pg_catalog.setval('nst_ceremony_id_seq', 1, false);
SELECT pg_catalog.setval('nst_dataset_id_seq', 6, true);
SELECT pg_catalog.setval('nst_deployment_id_seq', 1, false);
SELECT pg_catalog.setval('nst_environment_id_seq', 14, true);
SELECT pg_catalog.setval('nst_event_id_seq', 32, true);
SELECT pg_catalog.setval('nst_experiment_id_seq', 1, true);
SELECT pg_catalog.setval('nst_model_id_seq', 2, true);
SELECT pg_catalog.setval('nst_model_version_id_seq', 2, true);
SELECT pg_catalog.setval('nst_name_id_seq', 90, true);
SELECT pg_catalog.setval('nst_node_id_seq', 9, true);
SELECT pg_catalog.setval('nst_note_id_seq', 1, false);
SELECT pg_catalog.setval('nst_run_id_seq', 14, true);
SELECT pg_catalog.setval('studies_study_id_seq', 1, true);
SELECT pg_catalog.setval('study_directions_study_direction_id_seq', 1, true);
SELECT pg_catalog.setval('study_system_attributes_study_system_attribute_id_seq', 1, true);
SELECT pg_catalog.setval('study_user_attributes_study_user_attribute_id_seq', 3, true);
SELECT pg_catalog.setval('trial_heartbeats_trial_heartbeat_id_seq', 1, false);
SELECT pg_catalog.setval('trial_intermediate_values_trial_intermediate_value_id_seq', 9, true);
SELECT pg_catalog.setval('trial_params_param_id_seq', 54, true);
SELECT pg_catalog.setval('trial_system_attributes_trial_system_attribute_id_seq', 1, false);
SELECT pg_catalog.setval('trial_user_attributes_trial_user_attribute_id_seq', 21, true);
SELECT pg_catalog.setval('trial_values_trial_value_id_seq', 3, true);
SELECT pg_catalog.setval('trials_trial_id_seq', 3, true);
ALTER TABLE ONLY alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY nst_alembic_version
    ADD CONSTRAINT nst_alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY nst_alias
    ADD CONSTRAINT pk_nst_alias PRIMARY KEY (model_id, alias);
ALTER TABLE ONLY nst_architecture
    ADD CONSTRAINT pk_nst_architecture PRIMARY KEY (id);
ALTER TABLE ONLY nst_artifact
    ADD CONSTRAINT pk_nst_artifact PRIMARY KEY (id);
ALTER TABLE ONLY nst_ceremony
    ADD CONSTRAINT pk_nst_ceremony PRIMARY KEY (id);
ALTER TABLE ONLY nst_contribution
    ADD CONSTRAINT pk_nst_contribution PRIMARY KEY (run_id, round, node_id);
ALTER TABLE ONLY nst_dataset
    ADD CONSTRAINT pk_nst_dataset PRIMARY KEY (id);
ALTER TABLE ONLY nst_deployment
    ADD CONSTRAINT pk_nst_deployment PRIMARY KEY (id);
ALTER TABLE ONLY nst_environment
    ADD CONSTRAINT pk_nst_environment PRIMARY KEY (id);
ALTER TABLE ONLY nst_event
    ADD CONSTRAINT pk_nst_event PRIMARY KEY (id);
ALTER TABLE ONLY nst_experiment
    ADD CONSTRAINT pk_nst_experiment PRIMARY KEY (id);
ALTER TABLE ONLY nst_federation
    ADD CONSTRAINT pk_nst_federation PRIMARY KEY (run_id);
ALTER TABLE ONLY nst_lease
    ADD CONSTRAINT pk_nst_lease PRIMARY KEY (search_id, number);
ALTER TABLE ONLY nst_ledger
    ADD CONSTRAINT pk_nst_ledger PRIMARY KEY (sequence);
ALTER TABLE ONLY nst_lineage
    ADD CONSTRAINT pk_nst_lineage PRIMARY KEY (source_kind, source_id, relation, target_kind, target_id);
ALTER TABLE ONLY nst_meta
    ADD CONSTRAINT pk_nst_meta PRIMARY KEY (key);
ALTER TABLE ONLY nst_metric
    ADD CONSTRAINT pk_nst_metric PRIMARY KEY (run_id, name_id);
ALTER TABLE ONLY nst_metric_point
    ADD CONSTRAINT pk_nst_metric_point PRIMARY KEY (run_id, name_id, step);
ALTER TABLE ONLY nst_model
    ADD CONSTRAINT pk_nst_model PRIMARY KEY (id);
ALTER TABLE ONLY nst_model_version
    ADD CONSTRAINT pk_nst_model_version PRIMARY KEY (id);
ALTER TABLE ONLY nst_name
    ADD CONSTRAINT pk_nst_name PRIMARY KEY (id);
ALTER TABLE ONLY nst_node
    ADD CONSTRAINT pk_nst_node PRIMARY KEY (id);
ALTER TABLE ONLY nst_note
    ADD CONSTRAINT pk_nst_note PRIMARY KEY (id);
ALTER TABLE ONLY nst_param
    ADD CONSTRAINT pk_nst_param PRIMARY KEY (run_id, name_id);
ALTER TABLE ONLY nst_round
    ADD CONSTRAINT pk_nst_round PRIMARY KEY (run_id, number);
ALTER TABLE ONLY nst_run
    ADD CONSTRAINT pk_nst_run PRIMARY KEY (id);
ALTER TABLE ONLY nst_run_artifact
    ADD CONSTRAINT pk_nst_run_artifact PRIMARY KEY (run_id, role, name);
ALTER TABLE ONLY nst_run_dataset
    ADD CONSTRAINT pk_nst_run_dataset PRIMARY KEY (run_id, role);
ALTER TABLE ONLY nst_search
    ADD CONSTRAINT pk_nst_search PRIMARY KEY (run_id);
ALTER TABLE ONLY nst_system_point
    ADD CONSTRAINT pk_nst_system_point PRIMARY KEY (run_id, name_id, at_ms);
ALTER TABLE ONLY nst_tag
    ADD CONSTRAINT pk_nst_tag PRIMARY KEY (run_id, name_id);
ALTER TABLE ONLY nst_trial
    ADD CONSTRAINT pk_nst_trial PRIMARY KEY (run_id);
ALTER TABLE ONLY studies
    ADD CONSTRAINT studies_pkey PRIMARY KEY (study_id);
ALTER TABLE ONLY study_directions
    ADD CONSTRAINT study_directions_pkey PRIMARY KEY (study_direction_id);
ALTER TABLE ONLY study_directions
    ADD CONSTRAINT study_directions_study_id_objective_key UNIQUE (study_id, objective);
ALTER TABLE ONLY study_system_attributes
    ADD CONSTRAINT study_system_attributes_pkey PRIMARY KEY (study_system_attribute_id);
ALTER TABLE ONLY study_system_attributes
    ADD CONSTRAINT study_system_attributes_study_id_key_key UNIQUE (study_id, key);
ALTER TABLE ONLY study_user_attributes
    ADD CONSTRAINT study_user_attributes_pkey PRIMARY KEY (study_user_attribute_id);
ALTER TABLE ONLY study_user_attributes
    ADD CONSTRAINT study_user_attributes_study_id_key_key UNIQUE (study_id, key);
ALTER TABLE ONLY trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_pkey PRIMARY KEY (trial_heartbeat_id);
ALTER TABLE ONLY trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_trial_id_key UNIQUE (trial_id);
ALTER TABLE ONLY trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_pkey PRIMARY KEY (trial_intermediate_value_id);
ALTER TABLE ONLY trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_trial_id_step_key UNIQUE (trial_id, step);
ALTER TABLE ONLY trial_params
    ADD CONSTRAINT trial_params_pkey PRIMARY KEY (param_id);
ALTER TABLE ONLY trial_params
    ADD CONSTRAINT trial_params_trial_id_param_name_key UNIQUE (trial_id, param_name);
ALTER TABLE ONLY trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_pkey PRIMARY KEY (trial_system_attribute_id);
ALTER TABLE ONLY trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_trial_id_key_key UNIQUE (trial_id, key);
ALTER TABLE ONLY trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_pkey PRIMARY KEY (trial_user_attribute_id);
ALTER TABLE ONLY trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_trial_id_key_key UNIQUE (trial_id, key);
ALTER TABLE ONLY trial_values
    ADD CONSTRAINT trial_values_pkey PRIMARY KEY (trial_value_id);
ALTER TABLE ONLY trial_values
    ADD CONSTRAINT trial_values_trial_id_objective_key UNIQUE (trial_id, objective);
ALTER TABLE ONLY trials
    ADD CONSTRAINT trials_pkey PRIMARY KEY (trial_id);
ALTER TABLE ONLY nst_architecture
    ADD CONSTRAINT uq_nst_architecture_sha256 UNIQUE (sha256);
ALTER TABLE ONLY nst_artifact
    ADD CONSTRAINT uq_nst_artifact_sha256 UNIQUE (sha256);
ALTER TABLE ONLY nst_ceremony
    ADD CONSTRAINT uq_nst_ceremony_uid UNIQUE (uid);
ALTER TABLE ONLY nst_dataset
    ADD CONSTRAINT uq_nst_dataset_fingerprint UNIQUE (fingerprint);
ALTER TABLE ONLY nst_deployment
    ADD CONSTRAINT uq_nst_deployment_uid UNIQUE (uid);
ALTER TABLE ONLY nst_environment
    ADD CONSTRAINT uq_nst_environment_sha256 UNIQUE (sha256);
ALTER TABLE ONLY nst_experiment
    ADD CONSTRAINT uq_nst_experiment_uid UNIQUE (uid);
ALTER TABLE ONLY nst_ledger
    ADD CONSTRAINT uq_nst_ledger_hash UNIQUE (hash);
ALTER TABLE ONLY nst_model
    ADD CONSTRAINT uq_nst_model_name UNIQUE (name);
ALTER TABLE ONLY nst_model_version
    ADD CONSTRAINT uq_nst_model_version_model_id_version UNIQUE (model_id, version);
ALTER TABLE ONLY nst_name
    ADD CONSTRAINT uq_nst_name_name UNIQUE (name);
ALTER TABLE ONLY nst_node
    ADD CONSTRAINT uq_nst_node_name UNIQUE (name);
ALTER TABLE ONLY nst_node
    ADD CONSTRAINT uq_nst_node_uid UNIQUE (uid);
ALTER TABLE ONLY nst_run
    ADD CONSTRAINT uq_nst_run_number UNIQUE (number);
ALTER TABLE ONLY nst_run
    ADD CONSTRAINT uq_nst_run_uid UNIQUE (uid);
ALTER TABLE ONLY nst_search
    ADD CONSTRAINT uq_nst_search_study_name UNIQUE (study_name);
ALTER TABLE ONLY nst_trial
    ADD CONSTRAINT uq_nst_trial_search_id_number_attempt UNIQUE (search_id, number, attempt);
ALTER TABLE ONLY version_info
    ADD CONSTRAINT version_info_pkey PRIMARY KEY (version_info_id);
CREATE INDEX ix_nst_alias_version_id ON nst_alias USING btree (version_id);
CREATE INDEX ix_nst_ceremony_run_id ON nst_ceremony USING btree (run_id);
CREATE INDEX ix_nst_contribution_node_id_run_id_round ON nst_contribution USING btree (node_id, run_id, round);
CREATE INDEX ix_nst_deployment_version_id ON nst_deployment USING btree (version_id);
CREATE INDEX ix_nst_event_run_id ON nst_event USING btree (run_id);
CREATE INDEX ix_nst_federation_model_run_id ON nst_federation USING btree (model_run_id);
CREATE INDEX ix_nst_lease_run_id ON nst_lease USING btree (run_id);
CREATE INDEX ix_nst_ledger_run_uid ON nst_ledger USING btree (run_uid);
CREATE INDEX ix_nst_ledger_subject ON nst_ledger USING btree (subject);
CREATE INDEX ix_nst_lineage_target_kind_target_id ON nst_lineage USING btree (target_kind, target_id);
CREATE INDEX ix_nst_metric_name_id_max_run_id ON nst_metric USING btree (name_id, max, run_id);
CREATE INDEX ix_nst_metric_name_id_min_run_id ON nst_metric USING btree (name_id, min, run_id);
CREATE INDEX ix_nst_metric_name_id_value_run_id ON nst_metric USING btree (name_id, value, run_id);
CREATE INDEX ix_nst_model_version_artifact_id ON nst_model_version USING btree (artifact_id);
CREATE INDEX ix_nst_model_version_run_id ON nst_model_version USING btree (run_id);
CREATE INDEX ix_nst_note_run_id ON nst_note USING btree (run_id);
CREATE INDEX ix_nst_param_name_id_number_run_id ON nst_param USING btree (name_id, number, run_id);
CREATE INDEX ix_nst_param_name_id_text_run_id ON nst_param USING btree (name_id, text, run_id);
CREATE INDEX ix_nst_run_artifact_artifact_id ON nst_run_artifact USING btree (artifact_id);
CREATE INDEX ix_nst_run_dataset_dataset_id ON nst_run_dataset USING btree (dataset_id);
CREATE INDEX ix_nst_run_deleted_us ON nst_run USING btree (deleted_us) WHERE (deleted_us IS NOT NULL);
CREATE INDEX ix_nst_run_experiment_id ON nst_run USING btree (experiment_id);
CREATE INDEX ix_nst_run_kind_started_us ON nst_run USING btree (kind, started_us);
CREATE INDEX ix_nst_run_parent_id ON nst_run USING btree (parent_id);
CREATE INDEX ix_nst_tag_name_id_value_run_id ON nst_tag USING btree (name_id, value, run_id);
CREATE INDEX ix_nst_trial_architecture_id ON nst_trial USING btree (architecture_id);
CREATE UNIQUE INDEX ix_studies_study_name ON studies USING btree (study_name);
CREATE INDEX ix_trials_study_id ON trials USING btree (study_id);
CREATE UNIQUE INDEX uq_nst_experiment_name ON nst_experiment USING btree (name) WHERE (deleted_us IS NULL);
CREATE TRIGGER nst_ledger_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON nst_ledger FOR EACH STATEMENT EXECUTE FUNCTION nst_ledger_is_append_only();
ALTER TABLE ONLY nst_alias
    ADD CONSTRAINT fk_nst_alias_model_id FOREIGN KEY (model_id) REFERENCES nst_model(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_alias
    ADD CONSTRAINT fk_nst_alias_version_id FOREIGN KEY (version_id) REFERENCES nst_model_version(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_ceremony
    ADD CONSTRAINT fk_nst_ceremony_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE SET NULL;
ALTER TABLE ONLY nst_contribution
    ADD CONSTRAINT fk_nst_contribution_node_id FOREIGN KEY (node_id) REFERENCES nst_node(id);
ALTER TABLE ONLY nst_contribution
    ADD CONSTRAINT fk_nst_contribution_run_id_round FOREIGN KEY (run_id, round) REFERENCES nst_round(run_id, number) ON DELETE CASCADE;
ALTER TABLE ONLY nst_deployment
    ADD CONSTRAINT fk_nst_deployment_version_id FOREIGN KEY (version_id) REFERENCES nst_model_version(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_event
    ADD CONSTRAINT fk_nst_event_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_federation
    ADD CONSTRAINT fk_nst_federation_model_run_id FOREIGN KEY (model_run_id) REFERENCES nst_run(id) ON DELETE SET NULL;
ALTER TABLE ONLY nst_federation
    ADD CONSTRAINT fk_nst_federation_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_lease
    ADD CONSTRAINT fk_nst_lease_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_lease
    ADD CONSTRAINT fk_nst_lease_search_id FOREIGN KEY (search_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_metric
    ADD CONSTRAINT fk_nst_metric_name_id FOREIGN KEY (name_id) REFERENCES nst_name(id);
ALTER TABLE ONLY nst_metric_point
    ADD CONSTRAINT fk_nst_metric_point_name_id FOREIGN KEY (name_id) REFERENCES nst_name(id);
ALTER TABLE ONLY nst_metric_point
    ADD CONSTRAINT fk_nst_metric_point_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_metric
    ADD CONSTRAINT fk_nst_metric_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_model_version
    ADD CONSTRAINT fk_nst_model_version_artifact_id FOREIGN KEY (artifact_id) REFERENCES nst_artifact(id);
ALTER TABLE ONLY nst_model_version
    ADD CONSTRAINT fk_nst_model_version_model_id FOREIGN KEY (model_id) REFERENCES nst_model(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_model_version
    ADD CONSTRAINT fk_nst_model_version_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE SET NULL;
ALTER TABLE ONLY nst_note
    ADD CONSTRAINT fk_nst_note_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_param
    ADD CONSTRAINT fk_nst_param_name_id FOREIGN KEY (name_id) REFERENCES nst_name(id);
ALTER TABLE ONLY nst_param
    ADD CONSTRAINT fk_nst_param_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_round
    ADD CONSTRAINT fk_nst_round_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_run_artifact
    ADD CONSTRAINT fk_nst_run_artifact_artifact_id FOREIGN KEY (artifact_id) REFERENCES nst_artifact(id);
ALTER TABLE ONLY nst_run_artifact
    ADD CONSTRAINT fk_nst_run_artifact_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_run_dataset
    ADD CONSTRAINT fk_nst_run_dataset_dataset_id FOREIGN KEY (dataset_id) REFERENCES nst_dataset(id);
ALTER TABLE ONLY nst_run_dataset
    ADD CONSTRAINT fk_nst_run_dataset_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_run
    ADD CONSTRAINT fk_nst_run_environment_id FOREIGN KEY (environment_id) REFERENCES nst_environment(id);
ALTER TABLE ONLY nst_run
    ADD CONSTRAINT fk_nst_run_experiment_id FOREIGN KEY (experiment_id) REFERENCES nst_experiment(id);
ALTER TABLE ONLY nst_run
    ADD CONSTRAINT fk_nst_run_parent_id FOREIGN KEY (parent_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_search
    ADD CONSTRAINT fk_nst_search_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_system_point
    ADD CONSTRAINT fk_nst_system_point_name_id FOREIGN KEY (name_id) REFERENCES nst_name(id);
ALTER TABLE ONLY nst_system_point
    ADD CONSTRAINT fk_nst_system_point_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_tag
    ADD CONSTRAINT fk_nst_tag_name_id FOREIGN KEY (name_id) REFERENCES nst_name(id);
ALTER TABLE ONLY nst_tag
    ADD CONSTRAINT fk_nst_tag_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_trial
    ADD CONSTRAINT fk_nst_trial_architecture_id FOREIGN KEY (architecture_id) REFERENCES nst_architecture(id);
ALTER TABLE ONLY nst_trial
    ADD CONSTRAINT fk_nst_trial_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_trial
    ADD CONSTRAINT fk_nst_trial_search_id FOREIGN KEY (search_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY study_directions
    ADD CONSTRAINT study_directions_study_id_fkey FOREIGN KEY (study_id) REFERENCES studies(study_id);
ALTER TABLE ONLY study_system_attributes
    ADD CONSTRAINT study_system_attributes_study_id_fkey FOREIGN KEY (study_id) REFERENCES studies(study_id);
ALTER TABLE ONLY study_user_attributes
    ADD CONSTRAINT study_user_attributes_study_id_fkey FOREIGN KEY (study_id) REFERENCES studies(study_id);
ALTER TABLE ONLY trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES trials(trial_id);
ALTER TABLE ONLY trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES trials(trial_id);
ALTER TABLE ONLY trial_params
    ADD CONSTRAINT trial_params_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES trials(trial_id);
ALTER TABLE ONLY trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES trials(trial_id);
ALTER TABLE ONLY trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES trials(trial_id);
ALTER TABLE ONLY trial_values
    ADD CONSTRAINT trial_values_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES trials(trial_id);
ALTER TABLE ONLY trials
    ADD CONSTRAINT trials_study_id_fkey FOREIGN KEY (study_id) REFERENCES studies(study_id);
