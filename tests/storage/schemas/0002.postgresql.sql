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
    study_name text NOT NULL
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
    optuna_number bigint
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
INSERT INTO nst_alembic_version VALUES ('0002');
INSERT INTO nst_architecture VALUES (1, '1e2aabef0ae5071db775764e1e1fc7b976508f77ced0c7d2383d2c6c2f011b90', 'mlp', '{"hidden":[{"width":64,"skip":true}],"activation":"silu","normalisation":"none","dropout":0.0}', '{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":64}],"shortcut":[]},{"kind":"activation","function":"silu"},{"kind":"linear","out_features":10}]}', 4810, 4736);
INSERT INTO nst_architecture VALUES (2, 'e13cb5ad017af71960f42878784fd4d7c2612d63d7e327e953b79aa9f16b2f30', 'mlp', '{"hidden":[{"width":128,"skip":false},{"width":64,"skip":false}],"activation":"gelu","normalisation":"batch_norm","dropout":0.0}', '{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"linear","out_features":128},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":64},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":10}]}', 17610, 17216);
INSERT INTO nst_architecture VALUES (3, 'f656c491928154202dd05522e9e1baa046d6f84f0d87a3e304d761b884004010', 'mlp', '{"hidden":[{"width":32,"skip":true},{"width":64,"skip":true},{"width":32,"skip":false}],"activation":"relu","normalisation":"batch_norm","dropout":0.3}', '{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":32},{"kind":"batch_norm"}],"shortcut":[{"kind":"linear","out_features":32,"bias":false}]},{"kind":"activation","function":"relu"},{"kind":"dropout","rate":0.3},{"kind":"residual","body":[{"kind":"linear","out_features":64},{"kind":"batch_norm"}],"shortcut":[{"kind":"linear","out_features":64,"bias":false}]},{"kind":"activation","function":"relu"},{"kind":"dropout","rate":0.3},{"kind":"linear","out_features":32},{"kind":"batch_norm"},{"kind":"activation","function":"relu"},{"kind":"dropout","rate":0.3},{"kind":"linear","out_features":10}]}', 10954, 10688);
INSERT INTO nst_artifact VALUES (1, '543cb1b61c402a1b10c3e7c40f9944133d0dd441adbfad5ce5fa53ceacfdc72d', 2596, 'application/json', 1795899807005606);
INSERT INTO nst_artifact VALUES (2, '11d5b0105c32fad13a584a235854b441dd75e6d07adf05f98cf95fb528190242', 73072, 'application/vnd.safetensors', 1795899807009072);
INSERT INTO nst_artifact VALUES (5, '5e19897983f43a62b31c2499e4a65fed7c56bee19883c52f4a36d8c738435fee', 2438, 'application/json', 1795899807544742);
INSERT INTO nst_artifact VALUES (6, 'e99e0b65e9072b3cf278cbf85b8385b0ea5fd6672815d7668208cd8ce2c28ef4', 73072, 'application/vnd.safetensors', 1795899807547174);
INSERT INTO nst_contribution VALUES (6, 1, 1, 'accepted', NULL, 19802, 1749, 0.03262695700323093, NULL, 0.028137105000496376, 0.0015862940017541405, NULL, NULL);
INSERT INTO nst_contribution VALUES (6, 1, 2, 'accepted', NULL, 19802, 1749, 0.03154133899806766, NULL, 0.027194670001335908, 0.0018806329971994273, NULL, NULL);
INSERT INTO nst_contribution VALUES (6, 1, 3, 'accepted', NULL, 19802, 1749, 0.01508835300046485, NULL, 0.012942043002112769, 0.0007746949995635077, NULL, NULL);
INSERT INTO nst_contribution VALUES (6, 2, 1, 'accepted', NULL, 19802, 26499, 0.0300214529997902, NULL, 0.027324542999849655, 0.001741997002682183, NULL, NULL);
INSERT INTO nst_contribution VALUES (6, 2, 2, 'accepted', NULL, 19802, 26499, 0.023402005001116777, NULL, 0.021412269001302775, 0.0012929279982927255, NULL, NULL);
INSERT INTO nst_contribution VALUES (6, 2, 3, 'accepted', NULL, 19802, 26499, 0.014804258997173747, NULL, 0.012969393999810563, 0.0006718910008203238, NULL, NULL);
INSERT INTO nst_dataset VALUES (1, '171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666', false, 'digits', 1797, '{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}');
INSERT INTO nst_dataset VALUES (3, 'hmac-sha256:292742c570f59ab8ebcfe029ea0d70cae2c959e8df78c04d70f6b22796def7c3', true, 'digits at site-1', NULL, '{}');
INSERT INTO nst_dataset VALUES (4, 'hmac-sha256:4fe32d152237fd6bce2fb1351a1cca5a5f72857ca1bb7c007f903249121aed89', true, 'digits at site-2', NULL, '{}');
INSERT INTO nst_dataset VALUES (5, 'hmac-sha256:30e6d54ea80d52e7852310bcd0297d68aeb0328cbf31b79215ef4d9113bdc3ed', true, 'digits at site-3', NULL, '{}');
INSERT INTO nst_dataset VALUES (6, 'sha256:22', false, 'left', 5, '{}');
INSERT INTO nst_environment VALUES (1, '778eeb4e98ca9d2cee5939ed954c6ac15f5a73f5f75899b39b2a7c5b70f2444a', '{"python":"3.11.7","implementation":"CPython","platform":"Linux-6.18.44-fc-v657-x86_64-with-glibc2.36","machine":"x86_64","cpu":"AMD EPYC","cpus":2,"memory_bytes":25276510208,"gpus":[],"nasturtium":"0.1.0","packages":{"numpy":"2.4.6","polars":"2.1.0","safetensors":"0.8.0","optuna":"5.0.0","sqlalchemy":"2.1.9","alembic":"1.20.1","flwr":"1.41.0","tenseal":"0.3.18"},"commit":null,"dirty":null}');
INSERT INTO nst_event VALUES (1, 1, 1795899806425466, 'started', '{}');
INSERT INTO nst_event VALUES (2, 2, 1795899806629348, 'started', '{}');
INSERT INTO nst_event VALUES (3, 2, 1795899806672799, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (4, 3, 1795899806722111, 'started', '{}');
INSERT INTO nst_event VALUES (5, 3, 1795899806770645, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (6, 4, 1795899806878036, 'started', '{}');
INSERT INTO nst_event VALUES (7, 4, 1795899806931216, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (8, 5, 1795899806957458, 'started', '{}');
INSERT INTO nst_event VALUES (9, 5, 1795899807023378, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (10, 1, 1795899807034686, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (11, 6, 1795899807352034, 'started', '{}');
INSERT INTO nst_event VALUES (12, 6, 1795899807445287, 'round', '{"number":1,"state":"completed","participants":3}');
INSERT INTO nst_event VALUES (13, 6, 1795899807505157, 'round', '{"number":2,"state":"completed","participants":3}');
INSERT INTO nst_event VALUES (14, 6, 1795899807529142, 'round figures', '{"number":1}');
INSERT INTO nst_event VALUES (15, 6, 1795899807538731, 'round figures', '{"number":2}');
INSERT INTO nst_event VALUES (16, 6, 1795899807561859, 'ended', '{"state":"completed"}');
INSERT INTO nst_event VALUES (17, 7, 1795899807594573, 'started', '{}');
INSERT INTO nst_event VALUES (18, 7, 1795899807612412, 'ended', '{"state":"failed"}');
INSERT INTO nst_experiment VALUES (1, '01M8HZGMPJQDTBD8CV3AK1TE94', 'default', NULL, 1795899806418137, NULL);
INSERT INTO nst_federation VALUES (6, 3, 2, 'fedavg', 'plain', 0.5, NULL, NULL, NULL, 1, '{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"linear","out_features":128},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":64},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":10}]}');
INSERT INTO nst_ledger VALUES (1, 'spend', '171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666', '01M8HZGNKKCKTBX0CQ189W379H', '{"delta":0.0,"details":{"composition":"basic: runs are added up, each in its own unit of privacy"},"epsilon":"inf","mechanism":"exact sum of updates","round":1,"total":{"delta":0.0,"epsilon":"inf","releases":1}}', 1795899807380006, '0000000000000000000000000000000000000000000000000000000000000000', 'ebedc25b8927ffeea4ba0fdce5a9eabf92cc66681956fa8736e0481f8edfe9cd', '78fa25930ffc628ed61c0e3f96aafe8ec5e2bcb5366cc6230a93581b8b5f8560', '714bca8a82a7f3a1c3036d0f3ee67202d52527ba25e660bc79f857e3ea1c9a7960702ec811982d78f8b4cbcd5c66aca6bea4d26c16406cf023d93398363e840b');
INSERT INTO nst_ledger VALUES (2, 'spend', '171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666', '01M8HZGNKKCKTBX0CQ189W379H', '{"delta":0.0,"details":{"composition":"basic: runs are added up, each in its own unit of privacy"},"epsilon":"inf","mechanism":"exact sum of updates","round":2,"total":{"delta":0.0,"epsilon":"inf","releases":2}}', 1795899807448681, '66a18c0bae4128594f5dbd709520895bfccb69431638635f09669006b0384114', 'ce7eed916d125f1d6adbe6906e022bd9f5bdb79068202ced126771339f8bd225', '78fa25930ffc628ed61c0e3f96aafe8ec5e2bcb5366cc6230a93581b8b5f8560', '45a82d3e4467d4f2526954f8d1dcdfbc7f5bcc447a87c7856120fbf4bf4a6d2704c52a095e93098d05af606989809198cd2e8d9d6e7223f6a8655c4597821f01');
INSERT INTO nst_ledger VALUES (3, 'spend', '171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666', '01M8HZGNKKCKTBX0CQ189W379H', '{"delta":0.0,"details":{"composition":"basic: runs are added up, each in its own unit of privacy"},"epsilon":"inf","mechanism":"exact counts","round":3,"total":{"delta":0.0,"epsilon":"inf","releases":3}}', 1795899807508551, 'e2c48d0aa795e8a9677794eaf915d1aa18ce272d9050ca8c383e30c22566380b', '6f405449d9917d606e6549332c7b82c9d26fcfce2a45653092b14a0b33aecf50', '78fa25930ffc628ed61c0e3f96aafe8ec5e2bcb5366cc6230a93581b8b5f8560', 'f1a92f4fd028c7dfd11a3fa34a49fc65be05b8fd181b1fe54e843ffc7c70418d33e3284a0d0b6120e8201cf7d780508ed25587a323b3ed2c32254299f046890f');
INSERT INTO nst_lineage VALUES ('dataset', 1, 'trained on by', 'run', 1);
INSERT INTO nst_lineage VALUES ('run', 1, 'proposed', 'run', 2);
INSERT INTO nst_lineage VALUES ('architecture', 1, 'evaluated by', 'run', 2);
INSERT INTO nst_lineage VALUES ('run', 1, 'proposed', 'run', 3);
INSERT INTO nst_lineage VALUES ('architecture', 2, 'evaluated by', 'run', 3);
INSERT INTO nst_lineage VALUES ('run', 1, 'proposed', 'run', 4);
INSERT INTO nst_lineage VALUES ('architecture', 3, 'evaluated by', 'run', 4);
INSERT INTO nst_lineage VALUES ('run', 3, 'retrained as', 'run', 5);
INSERT INTO nst_lineage VALUES ('run', 5, 'saved', 'artifact', 1);
INSERT INTO nst_lineage VALUES ('run', 5, 'saved', 'artifact', 2);
INSERT INTO nst_lineage VALUES ('run', 1, 'saved', 'artifact', 1);
INSERT INTO nst_lineage VALUES ('run', 1, 'saved', 'artifact', 2);
INSERT INTO nst_lineage VALUES ('artifact', 2, 'published as', 'version', 1);
INSERT INTO nst_lineage VALUES ('dataset', 1, 'trained on by', 'run', 6);
INSERT INTO nst_lineage VALUES ('run', 5, 'network of', 'run', 6);
INSERT INTO nst_lineage VALUES ('dataset', 3, 'trained on at a site by', 'run', 6);
INSERT INTO nst_lineage VALUES ('dataset', 4, 'trained on at a site by', 'run', 6);
INSERT INTO nst_lineage VALUES ('dataset', 5, 'trained on at a site by', 'run', 6);
INSERT INTO nst_lineage VALUES ('run', 6, 'saved', 'artifact', 5);
INSERT INTO nst_lineage VALUES ('run', 6, 'saved', 'artifact', 6);
INSERT INTO nst_lineage VALUES ('artifact', 6, 'published as', 'version', 2);
INSERT INTO nst_lineage VALUES ('dataset', 6, 'trained on by', 'run', 7);
INSERT INTO nst_meta VALUES ('instance', '01M8HZGMNMHYHWSVKD1888A61F');
INSERT INTO nst_meta VALUES ('created_us', '1795899806388086');
INSERT INTO nst_meta VALUES ('last_number', '3');
INSERT INTO nst_metric VALUES (2, 15, 0.5685999837991234, false, 3, 1, 3, 0.5685999837991234, 0.5685999837991234, 3, 1.9299950570703668, 1);
INSERT INTO nst_metric VALUES (2, 16, 0.859504132231405, true, 3, 1, 3, 0.859504132231405, 0.6942148760330579, 1, 0.859504132231405, 3);
INSERT INTO nst_metric VALUES (2, 17, 0.6007847189903259, true, 3, 1, 3, 0.6007847189903259, 0.6007847189903259, 3, 1.1071159839630127, 1);
INSERT INTO nst_metric VALUES (2, 18, 4736, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (2, 19, 4810, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (3, 15, 0.2942879294959184, false, 3, 1, 3, 0.2942879294959184, 0.2942879294959184, 3, 1.313131521683987, 1);
INSERT INTO nst_metric VALUES (3, 16, 0.9421487603305785, true, 3, 1, 3, 0.9421487603305785, 0.8953168044077136, 1, 0.9421487603305785, 3);
INSERT INTO nst_metric VALUES (3, 17, 0.32684704661369324, true, 3, 1, 3, 0.32684704661369324, 0.32684704661369324, 3, 0.5534594655036926, 1);
INSERT INTO nst_metric VALUES (3, 18, 17216, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (3, 19, 17610, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (4, 15, 1.3724452257156372, false, 3, 1, 3, 1.3724452257156372, 1.3724452257156372, 3, 2.091023056752214, 1);
INSERT INTO nst_metric VALUES (4, 16, 0.8099173553719008, true, 3, 1, 3, 0.8099173553719008, 0.7300275482093664, 1, 0.8099173553719008, 3);
INSERT INTO nst_metric VALUES (4, 17, 1.0160105228424072, true, 3, 1, 3, 1.0160105228424072, 1.0160105228424072, 3, 1.1981265544891357, 1);
INSERT INTO nst_metric VALUES (4, 18, 10688, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (4, 19, 10954, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (5, 15, 0.23279245483733854, false, 3, 1, 3, 0.23279245483733854, 0.23279245483733854, 3, 1.2171535090350307, 1);
INSERT INTO nst_metric VALUES (5, 16, 0.9421487603305785, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (5, 18, 17216, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (5, 19, 17610, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (5, 25, 0.967032967032967, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (5, 26, 0.24149440228939056, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 16, 0.9421487603305785, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 18, 17216, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 19, 17610, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 25, 0.967032967032967, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (1, 26, 0.24149440228939056, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (6, 17, 0.38, false, 2, 1, 2, 0.38, 0.38, 2, 0.775, 1);
INSERT INTO nst_metric VALUES (6, 16, 0.9581881533101045, true, 2, 1, 2, 0.9581881533101045, 0.89198606271777, 1, 0.9581881533101045, 2);
INSERT INTO nst_metric VALUES (6, 18, 17216, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (6, 19, 17610, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (6, 25, 0.9340659340659341, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (6, 26, 0.4039263427257538, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (6, 42, 243738, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (6, 43, 178218, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (7, 50, '-Infinity', false, 4, 1, 5, '-Infinity', '-Infinity', 5, 'Infinity', 2);
INSERT INTO nst_metric VALUES (7, 17, NULL, true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric VALUES (7, 52, 'Infinity', true, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO nst_metric_point VALUES (2, 15, 1, 1.9299950570703668, 14);
INSERT INTO nst_metric_point VALUES (2, 15, 2, 0.7879016272375516, 25);
INSERT INTO nst_metric_point VALUES (2, 15, 3, 0.5685999837991234, 28);
INSERT INTO nst_metric_point VALUES (2, 16, 1, 0.6942148760330579, 14);
INSERT INTO nst_metric_point VALUES (2, 16, 2, 0.8319559228650137, 25);
INSERT INTO nst_metric_point VALUES (2, 16, 3, 0.859504132231405, 28);
INSERT INTO nst_metric_point VALUES (2, 17, 1, 1.1071159839630127, 14);
INSERT INTO nst_metric_point VALUES (2, 17, 2, 0.6530585289001465, 25);
INSERT INTO nst_metric_point VALUES (2, 17, 3, 0.6007847189903259, 28);
INSERT INTO nst_metric_point VALUES (3, 15, 1, 1.313131521683987, 18);
INSERT INTO nst_metric_point VALUES (3, 15, 2, 0.40217450690046647, 35);
INSERT INTO nst_metric_point VALUES (3, 15, 3, 0.2942879294959184, 43);
INSERT INTO nst_metric_point VALUES (3, 16, 1, 0.8953168044077136, 18);
INSERT INTO nst_metric_point VALUES (3, 16, 2, 0.9366391184573003, 35);
INSERT INTO nst_metric_point VALUES (3, 16, 3, 0.9421487603305785, 43);
INSERT INTO nst_metric_point VALUES (3, 17, 1, 0.5534594655036926, 18);
INSERT INTO nst_metric_point VALUES (3, 17, 2, 0.3358893394470215, 35);
INSERT INTO nst_metric_point VALUES (3, 17, 3, 0.32684704661369324, 43);
INSERT INTO nst_metric_point VALUES (4, 15, 1, 2.091023056752214, 19);
INSERT INTO nst_metric_point VALUES (4, 15, 2, 1.4656399129707123, 36);
INSERT INTO nst_metric_point VALUES (4, 15, 3, 1.3724452257156372, 47);
INSERT INTO nst_metric_point VALUES (4, 16, 1, 0.7300275482093664, 19);
INSERT INTO nst_metric_point VALUES (4, 16, 2, 0.8071625344352618, 36);
INSERT INTO nst_metric_point VALUES (4, 16, 3, 0.8099173553719008, 47);
INSERT INTO nst_metric_point VALUES (4, 17, 1, 1.1981265544891357, 19);
INSERT INTO nst_metric_point VALUES (4, 17, 2, 1.0314319133758545, 36);
INSERT INTO nst_metric_point VALUES (4, 17, 3, 1.0160105228424072, 47);
INSERT INTO nst_metric_point VALUES (5, 15, 1, 1.2171535090350307, NULL);
INSERT INTO nst_metric_point VALUES (5, 15, 2, 0.3140245128867515, NULL);
INSERT INTO nst_metric_point VALUES (5, 15, 3, 0.23279245483733854, NULL);
INSERT INTO nst_metric_point VALUES (6, 16, 1, 0.89198606271777, NULL);
INSERT INTO nst_metric_point VALUES (6, 17, 1, 0.775, NULL);
INSERT INTO nst_metric_point VALUES (6, 16, 2, 0.9581881533101045, NULL);
INSERT INTO nst_metric_point VALUES (6, 17, 2, 0.38, NULL);
INSERT INTO nst_metric_point VALUES (7, 50, 1, NULL, NULL);
INSERT INTO nst_metric_point VALUES (7, 50, 2, 'Infinity', NULL);
INSERT INTO nst_metric_point VALUES (7, 50, 3, -1.5, NULL);
INSERT INTO nst_metric_point VALUES (7, 50, 5, '-Infinity', NULL);
INSERT INTO nst_model VALUES (1, 'digits', 1795899807025873);
INSERT INTO nst_model_version VALUES (1, 1, 1, 1, 2, '{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}', NULL, 1795899807025873);
INSERT INTO nst_model_version VALUES (2, 1, 2, 6, 6, '{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}', NULL, 1795899807551500);
INSERT INTO nst_name VALUES (1, 'data');
INSERT INTO nst_name VALUES (2, 'device');
INSERT INTO nst_name VALUES (3, 'epochs');
INSERT INTO nst_name VALUES (4, 'seed');
INSERT INTO nst_name VALUES (5, 'space');
INSERT INTO nst_name VALUES (6, 'strategy');
INSERT INTO nst_name VALUES (7, 'trials');
INSERT INTO nst_name VALUES (8, 'activation');
INSERT INTO nst_name VALUES (9, 'dropout');
INSERT INTO nst_name VALUES (10, 'hidden.0.skip');
INSERT INTO nst_name VALUES (11, 'hidden.0.width');
INSERT INTO nst_name VALUES (12, 'learning_rate');
INSERT INTO nst_name VALUES (13, 'normalisation');
INSERT INTO nst_name VALUES (14, 'weight_decay');
INSERT INTO nst_name VALUES (15, 'train_loss');
INSERT INTO nst_name VALUES (16, 'val_accuracy');
INSERT INTO nst_name VALUES (17, 'val_loss');
INSERT INTO nst_name VALUES (18, 'macs');
INSERT INTO nst_name VALUES (19, 'parameters');
INSERT INTO nst_name VALUES (20, 'hidden.1.skip');
INSERT INTO nst_name VALUES (21, 'hidden.1.width');
INSERT INTO nst_name VALUES (22, 'hidden.2.skip');
INSERT INTO nst_name VALUES (23, 'hidden.2.width');
INSERT INTO nst_name VALUES (24, 'trial');
INSERT INTO nst_name VALUES (25, 'test_accuracy');
INSERT INTO nst_name VALUES (26, 'test_loss');
INSERT INTO nst_name VALUES (27, 'alpha');
INSERT INTO nst_name VALUES (28, 'bits');
INSERT INTO nst_name VALUES (29, 'clients');
INSERT INTO nst_name VALUES (30, 'clip');
INSERT INTO nst_name VALUES (32, 'delta');
INSERT INTO nst_name VALUES (34, 'masked');
INSERT INTO nst_name VALUES (35, 'rounds');
INSERT INTO nst_name VALUES (36, 'scheme');
INSERT INTO nst_name VALUES (38, 'split_seed');
INSERT INTO nst_name VALUES (39, 'workers');
INSERT INTO nst_name VALUES (42, 'bytes_down');
INSERT INTO nst_name VALUES (43, 'bytes_up');
INSERT INTO nst_name VALUES (50, 'loss');
INSERT INTO nst_name VALUES (52, 'worst');
INSERT INTO nst_node VALUES (1, '01M8HZGNM3TQ9Q9QW333BC6P4M', 'site-1', NULL, 1795899807363472, 1795899807501305);
INSERT INTO nst_node VALUES (2, '01M8HZGNM8CGN8EETZM2B1GSSQ', 'site-2', NULL, 1795899807368609, 1795899807501305);
INSERT INTO nst_node VALUES (3, '01M8HZGNMBSA9VVY161NBA8MQN', 'site-3', NULL, 1795899807371744, 1795899807501305);
INSERT INTO nst_param VALUES (1, 1, 'digits', NULL, true);
INSERT INTO nst_param VALUES (1, 7, '3', 3, false);
INSERT INTO nst_param VALUES (1, 4, '0', 0, false);
INSERT INTO nst_param VALUES (1, 5, 'mlp', NULL, true);
INSERT INTO nst_param VALUES (1, 6, 'tpe', NULL, true);
INSERT INTO nst_param VALUES (1, 3, '3', 3, false);
INSERT INTO nst_param VALUES (1, 2, 'cpu', NULL, true);
INSERT INTO nst_param VALUES (2, 11, '64', 64, false);
INSERT INTO nst_param VALUES (2, 10, 'true', 1, false);
INSERT INTO nst_param VALUES (2, 8, 'silu', NULL, true);
INSERT INTO nst_param VALUES (2, 13, 'none', NULL, true);
INSERT INTO nst_param VALUES (2, 9, '0.0', 0, false);
INSERT INTO nst_param VALUES (2, 12, '0.003273806395270013', 0.003273806395270013, false);
INSERT INTO nst_param VALUES (2, 14, '0.0004934878148654085', 0.0004934878148654085, false);
INSERT INTO nst_param VALUES (3, 11, '128', 128, false);
INSERT INTO nst_param VALUES (3, 10, 'false', 0, false);
INSERT INTO nst_param VALUES (3, 21, '64', 64, false);
INSERT INTO nst_param VALUES (3, 20, 'false', 0, false);
INSERT INTO nst_param VALUES (3, 8, 'gelu', NULL, true);
INSERT INTO nst_param VALUES (3, 13, 'batch_norm', NULL, true);
INSERT INTO nst_param VALUES (3, 9, '0.0', 0, false);
INSERT INTO nst_param VALUES (3, 12, '0.0031394020330583836', 0.0031394020330583836, false);
INSERT INTO nst_param VALUES (3, 14, '0.0011229962371650645', 0.0011229962371650645, false);
INSERT INTO nst_param VALUES (4, 11, '32', 32, false);
INSERT INTO nst_param VALUES (4, 10, 'true', 1, false);
INSERT INTO nst_param VALUES (4, 21, '64', 64, false);
INSERT INTO nst_param VALUES (4, 20, 'true', 1, false);
INSERT INTO nst_param VALUES (4, 23, '32', 32, false);
INSERT INTO nst_param VALUES (4, 22, 'false', 0, false);
INSERT INTO nst_param VALUES (4, 8, 'relu', NULL, true);
INSERT INTO nst_param VALUES (4, 13, 'batch_norm', NULL, true);
INSERT INTO nst_param VALUES (4, 9, '0.3', 0.3, false);
INSERT INTO nst_param VALUES (4, 12, '0.005837266097988497', 0.005837266097988497, false);
INSERT INTO nst_param VALUES (4, 14, '0.002315843453006136', 0.002315843453006136, false);
INSERT INTO nst_param VALUES (5, 24, '01M8HZGN01R44Y7FWJCRH3FM22', NULL, true);
INSERT INTO nst_param VALUES (6, 1, 'digits', NULL, true);
INSERT INTO nst_param VALUES (6, 29, '3', 3, false);
INSERT INTO nst_param VALUES (6, 35, '2', 2, false);
INSERT INTO nst_param VALUES (6, 4, '0', 0, false);
INSERT INTO nst_param VALUES (6, 38, '0', 0, false);
INSERT INTO nst_param VALUES (6, 27, '0.5', 0.5, false);
INSERT INTO nst_param VALUES (6, 36, 'plain', NULL, true);
INSERT INTO nst_param VALUES (6, 28, '8', 8, false);
INSERT INTO nst_param VALUES (6, 32, '1e-05', 1e-05, false);
INSERT INTO nst_param VALUES (6, 30, '1.0', 1, false);
INSERT INTO nst_param VALUES (6, 34, 'false', 0, false);
INSERT INTO nst_param VALUES (6, 3, '2', 2, false);
INSERT INTO nst_param VALUES (6, 39, '2', 2, false);
INSERT INTO nst_param VALUES (7, 3, '1', 1, false);
INSERT INTO nst_param VALUES (7, 7, '1', 1, false);
INSERT INTO nst_round VALUES (6, 1, 'completed', 3, 0, 59406, 5247, 211320, 0.0009477329986111727, 0.04998719700233778, 1795899807382441);
INSERT INTO nst_round VALUES (6, 2, 'completed', 3, 0, 59406, 79497, 211320, 0.00089723699784372, 0.04651568199915346, 1795899807450337);
INSERT INTO nst_run VALUES (2, '01M8HZGMX4WGV12XC5GSFYP7HN', NULL, 'trial', 'completed', 1, 1, 'digits', 8867601057144543979, '{}', 1, 'vm', 16434, 'e82d386b-9e49-4aec-8475-13116a4a749a/2404349', 1795899806628543, 1795899806669664, NULL, NULL);
INSERT INTO nst_run VALUES (3, '01M8HZGN01R44Y7FWJCRH3FM22', NULL, 'trial', 'completed', 1, 1, 'digits', 357969636515125329, '{}', 1, 'vm', 16434, 'e82d386b-9e49-4aec-8475-13116a4a749a/2404349', 1795899806721354, 1795899806768966, NULL, NULL);
INSERT INTO nst_run VALUES (4, '01M8HZGN4XVS5XAYP1VN7VX3WQ', NULL, 'trial', 'completed', 1, 1, 'digits', 1134459820640780124, '{}', 1, 'vm', 16434, 'e82d386b-9e49-4aec-8475-13116a4a749a/2404349', 1795899806877446, 1795899806929489, NULL, NULL);
INSERT INTO nst_run VALUES (5, '01M8HZGN7CQPVCP37T5AAMBQAQ', NULL, 'retrain', 'completed', 1, 1, 'digits', 2548299153476258974, '{"trial":"01M8HZGN01R44Y7FWJCRH3FM22"}', 1, 'vm', 16434, 'e82d386b-9e49-4aec-8475-13116a4a749a/2404349', 1795899806956852, 1795899807019857, NULL, NULL);
INSERT INTO nst_run VALUES (1, '01M8HZGMPH7VSJ0H35B2ZEZ1C9', 1, 'search', 'completed', 1, NULL, 'digits', 0, '{"data":"digits","target":null,"trials":3,"seed":0,"space":"mlp","strategy":"tpe","epochs":3,"device":"cpu"}', 1, 'vm', 16434, 'e82d386b-9e49-4aec-8475-13116a4a749a/2404349', 1795899806419533, 1795899807032970, NULL, NULL);
INSERT INTO nst_run VALUES (6, '01M8HZGNKKCKTBX0CQ189W379H', 2, 'federated', 'completed', 1, NULL, 'digits', 0, '{"data":"digits","target":null,"clients":3,"rounds":2,"seed":0,"split_seed":0,"alpha":0.5,"scheme":"plain","bits":8,"epsilon":null,"delta":1e-05,"clip":1.0,"masked":false,"epochs":2,"workers":2}', 1, 'vm', 16434, 'e82d386b-9e49-4aec-8475-13116a4a749a/2404349', 1795899807348421, 1795899807559193, NULL, NULL);
INSERT INTO nst_run VALUES (7, '01M8HZGNV5ME3TT4JBDYX86PD8', 3, 'search', 'failed', 1, NULL, 'left', 1, '{"epochs":1,"trials":1}', 1, 'vm', 16434, 'e82d386b-9e49-4aec-8475-13116a4a749a/2404349', 1795899807590783, 1795899807609755, NULL, 'boom');
INSERT INTO nst_run_artifact VALUES (5, 'model', 'model.json', 1);
INSERT INTO nst_run_artifact VALUES (5, 'model', 'weights.safetensors', 2);
INSERT INTO nst_run_artifact VALUES (1, 'model', 'model.json', 1);
INSERT INTO nst_run_artifact VALUES (1, 'model', 'weights.safetensors', 2);
INSERT INTO nst_run_artifact VALUES (6, 'model', 'model.json', 5);
INSERT INTO nst_run_artifact VALUES (6, 'model', 'weights.safetensors', 6);
INSERT INTO nst_run_dataset VALUES (1, 'data', 1);
INSERT INTO nst_run_dataset VALUES (6, 'data', 1);
INSERT INTO nst_run_dataset VALUES (6, 'site/site-1', 3);
INSERT INTO nst_run_dataset VALUES (6, 'site/site-2', 4);
INSERT INTO nst_run_dataset VALUES (6, 'site/site-3', 5);
INSERT INTO nst_run_dataset VALUES (7, 'data', 6);
INSERT INTO nst_search VALUES (1, 'mlp', 'a24c686daf63e316321f5327afa3c982f2807db40d25802e3e47e4fe89a440f5', 'tpe', 'median', '[["val_accuracy","maximize"]]', 3, 'nasturtium-01M8HZGMPH7VSJ0H35B2ZEZ1C9');
INSERT INTO nst_search VALUES (7, 'mlp', 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', 'tpe', 'median', '[["val_accuracy","maximize"]]', 1, 'nasturtium-01M8HZGNV5ME3TT4JBDYX86PD8');
INSERT INTO nst_trial VALUES (2, 1, 0, 1, 1, '{"learning_rate":0.003273806395270013,"weight_decay":0.0004934878148654085}', 0);
INSERT INTO nst_trial VALUES (3, 1, 1, 1, 2, '{"learning_rate":0.0031394020330583836,"weight_decay":0.0011229962371650645}', 1);
INSERT INTO nst_trial VALUES (4, 1, 2, 1, 3, '{"learning_rate":0.005837266097988497,"weight_decay":0.002315843453006136}', 2);
INSERT INTO studies VALUES (1, 'nasturtium-01M8HZGMPH7VSJ0H35B2ZEZ1C9');
INSERT INTO study_directions VALUES (1, 'MAXIMIZE', 1, 0);
INSERT INTO trial_intermediate_values VALUES (1, 1, 1, 0.6942148760330579, 'FINITE');
INSERT INTO trial_intermediate_values VALUES (2, 2, 1, 0.8953168044077136, 'FINITE');
INSERT INTO trial_intermediate_values VALUES (3, 3, 1, 0.7300275482093664, 'FINITE');
INSERT INTO trial_params VALUES (1, 1, 'architecture/hidden/count', 1, '{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO trial_params VALUES (2, 1, 'architecture/hidden/0/width', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (3, 1, 'architecture/hidden/0/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (4, 1, 'architecture/hidden/1/width', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (5, 1, 'architecture/hidden/1/skip', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (6, 1, 'architecture/hidden/2/width', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (7, 1, 'architecture/hidden/2/skip', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (8, 1, 'architecture/hidden/3/width', 3, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (9, 1, 'architecture/hidden/3/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (10, 1, 'architecture/activation', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO trial_params VALUES (11, 1, 'architecture/normalisation', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO trial_params VALUES (12, 1, 'architecture/dropout', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}');
INSERT INTO trial_params VALUES (13, 1, 'training/learning_rate', 0.003273806395270013, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.01, "log": true}}');
INSERT INTO trial_params VALUES (14, 1, 'training/weight_decay', 0.0004934878148654085, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO trial_params VALUES (15, 2, 'architecture/hidden/count', 2, '{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO trial_params VALUES (16, 2, 'architecture/hidden/0/width', 3, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (17, 2, 'architecture/hidden/0/skip', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (18, 2, 'architecture/hidden/1/width', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (19, 2, 'architecture/hidden/1/skip', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (20, 2, 'architecture/hidden/2/width', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (21, 2, 'architecture/hidden/2/skip', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (22, 2, 'architecture/hidden/3/width', 4, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (23, 2, 'architecture/hidden/3/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (24, 2, 'architecture/activation', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO trial_params VALUES (25, 2, 'architecture/normalisation', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO trial_params VALUES (26, 2, 'architecture/dropout', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}');
INSERT INTO trial_params VALUES (27, 2, 'training/learning_rate', 0.0031394020330583836, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.01, "log": true}}');
INSERT INTO trial_params VALUES (28, 2, 'training/weight_decay', 0.0011229962371650645, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO trial_params VALUES (29, 3, 'architecture/hidden/count', 3, '{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO trial_params VALUES (30, 3, 'architecture/hidden/0/width', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (31, 3, 'architecture/hidden/0/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (32, 3, 'architecture/hidden/1/width', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (33, 3, 'architecture/hidden/1/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (34, 3, 'architecture/hidden/2/width', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (35, 3, 'architecture/hidden/2/skip', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (36, 3, 'architecture/hidden/3/width', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO trial_params VALUES (37, 3, 'architecture/hidden/3/skip', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO trial_params VALUES (38, 3, 'architecture/activation', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO trial_params VALUES (39, 3, 'architecture/normalisation', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO trial_params VALUES (40, 3, 'architecture/dropout', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}');
INSERT INTO trial_params VALUES (41, 3, 'training/learning_rate', 0.005837266097988497, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.01, "log": true}}');
INSERT INTO trial_params VALUES (42, 3, 'training/weight_decay', 0.002315843453006136, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO trial_values VALUES (1, 1, 0, 0.859504132231405, 'FINITE');
INSERT INTO trial_values VALUES (2, 2, 0, 0.9421487603305785, 'FINITE');
INSERT INTO trial_values VALUES (3, 3, 0, 0.8099173553719008, 'FINITE');
INSERT INTO trials VALUES (1, 0, 1, 'COMPLETE', '2026-11-28 21:03:26.57429', '2026-11-28 21:03:26.678641');
INSERT INTO trials VALUES (2, 1, 1, 'COMPLETE', '2026-11-28 21:03:26.690322', '2026-11-28 21:03:26.77458');
INSERT INTO trials VALUES (3, 2, 1, 'COMPLETE', '2026-11-28 21:03:26.851507', '2026-11-28 21:03:26.935378');
INSERT INTO version_info VALUES (1, 12, '5.0.0');
SELECT pg_catalog.setval('nst_architecture_id_seq', 3, true);
SELECT pg_catalog.setval('nst_artifact_id_seq', 6, true);
SELECT pg_catalog.setval('nst_ceremony_id_seq', 1, false);
SELECT pg_catalog.setval('nst_dataset_id_seq', 6, true);
SELECT pg_catalog.setval('nst_deployment_id_seq', 1, false);
SELECT pg_catalog.setval('nst_environment_id_seq', 7, true);
SELECT pg_catalog.setval('nst_event_id_seq', 18, true);
SELECT pg_catalog.setval('nst_experiment_id_seq', 1, true);
SELECT pg_catalog.setval('nst_model_id_seq', 2, true);
SELECT pg_catalog.setval('nst_model_version_id_seq', 2, true);
SELECT pg_catalog.setval('nst_name_id_seq', 52, true);
SELECT pg_catalog.setval('nst_node_id_seq', 9, true);
SELECT pg_catalog.setval('nst_note_id_seq', 1, false);
SELECT pg_catalog.setval('nst_run_id_seq', 7, true);
SELECT pg_catalog.setval('studies_study_id_seq', 1, true);
SELECT pg_catalog.setval('study_directions_study_direction_id_seq', 1, true);
SELECT pg_catalog.setval('study_system_attributes_study_system_attribute_id_seq', 1, false);
SELECT pg_catalog.setval('study_user_attributes_study_user_attribute_id_seq', 1, false);
SELECT pg_catalog.setval('trial_heartbeats_trial_heartbeat_id_seq', 1, false);
SELECT pg_catalog.setval('trial_intermediate_values_trial_intermediate_value_id_seq', 3, true);
SELECT pg_catalog.setval('trial_params_param_id_seq', 42, true);
SELECT pg_catalog.setval('trial_system_attributes_trial_system_attribute_id_seq', 1, false);
SELECT pg_catalog.setval('trial_user_attributes_trial_user_attribute_id_seq', 1, false);
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
