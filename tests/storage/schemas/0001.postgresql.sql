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
CREATE TABLE alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE nst_alembic_version (
    version_num character varying(32) NOT NULL
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
    run_id bigint NOT NULL,
    role text NOT NULL,
    path text NOT NULL,
    sha256 character(64) NOT NULL,
    size_bytes bigint NOT NULL
);
CREATE SEQUENCE nst_artifact_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_artifact_id_seq OWNED BY nst_artifact.id;
CREATE TABLE nst_contribution (
    run_id bigint NOT NULL,
    round bigint NOT NULL,
    client text NOT NULL,
    state character varying(16) NOT NULL,
    reason text,
    bytes_up bigint NOT NULL,
    bytes_down bigint NOT NULL,
    seconds double precision NOT NULL,
    CONSTRAINT ck_nst_contribution_state CHECK (((state)::text = ANY ((ARRAY['accepted'::character varying, 'rejected'::character varying])::text[])))
);
CREATE TABLE nst_dataset (
    id bigint NOT NULL,
    fingerprint text NOT NULL,
    name text NOT NULL,
    rows bigint NOT NULL,
    body json NOT NULL
);
CREATE SEQUENCE nst_dataset_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE nst_dataset_id_seq OWNED BY nst_dataset.id;
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
CREATE TABLE nst_federation (
    run_id bigint NOT NULL,
    clients bigint NOT NULL,
    rounds bigint NOT NULL,
    strategy text NOT NULL,
    scheme text NOT NULL,
    alpha double precision,
    model_run_id bigint,
    spec json NOT NULL
);
CREATE TABLE nst_metric (
    run_id bigint NOT NULL,
    name text NOT NULL,
    value double precision,
    special smallint NOT NULL
);
CREATE TABLE nst_metric_point (
    run_id bigint NOT NULL,
    name text NOT NULL,
    step bigint NOT NULL,
    value double precision,
    special smallint NOT NULL
);
CREATE TABLE nst_round (
    run_id bigint NOT NULL,
    number bigint NOT NULL,
    participants bigint NOT NULL,
    rejected bigint NOT NULL,
    loss double precision,
    loss_special smallint NOT NULL,
    accuracy double precision,
    accuracy_special smallint NOT NULL,
    bytes_up bigint NOT NULL,
    bytes_down bigint NOT NULL,
    seconds double precision NOT NULL,
    started_us bigint NOT NULL
);
CREATE TABLE nst_run (
    id bigint NOT NULL,
    uid character(26) NOT NULL,
    number bigint,
    kind character varying(16) NOT NULL,
    state character varying(16) NOT NULL,
    parent_id bigint,
    name text NOT NULL,
    seed bigint NOT NULL,
    config json NOT NULL,
    environment_id bigint NOT NULL,
    dataset_id bigint,
    host text NOT NULL,
    pid bigint NOT NULL,
    born text,
    started_us bigint NOT NULL,
    ended_us bigint,
    error text,
    CONSTRAINT ck_nst_run_kind CHECK (((kind)::text = ANY ((ARRAY['search'::character varying, 'trial'::character varying, 'retrain'::character varying, 'federated'::character varying])::text[]))),
    CONSTRAINT ck_nst_run_state CHECK (((state)::text = ANY ((ARRAY['running'::character varying, 'completed'::character varying, 'pruned'::character varying, 'failed'::character varying, 'interrupted'::character varying])::text[])))
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
    trials bigint NOT NULL,
    study_name text NOT NULL
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
ALTER TABLE ONLY nst_dataset ALTER COLUMN id SET DEFAULT nextval('nst_dataset_id_seq'::regclass);
ALTER TABLE ONLY nst_environment ALTER COLUMN id SET DEFAULT nextval('nst_environment_id_seq'::regclass);
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
INSERT INTO nst_alembic_version VALUES ('0001');
INSERT INTO nst_architecture VALUES (1, '1e2aabef0ae5071db775764e1e1fc7b976508f77ced0c7d2383d2c6c2f011b90', 'mlp', '{"hidden":[{"width":64,"skip":true}],"activation":"silu","normalisation":"none","dropout":0.0}', '{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":64}],"shortcut":[]},{"kind":"activation","function":"silu"},{"kind":"linear","out_features":10}]}', 4810, 4736);
INSERT INTO nst_architecture VALUES (2, 'e13cb5ad017af71960f42878784fd4d7c2612d63d7e327e953b79aa9f16b2f30', 'mlp', '{"hidden":[{"width":128,"skip":false},{"width":64,"skip":false}],"activation":"gelu","normalisation":"batch_norm","dropout":0.0}', '{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"linear","out_features":128},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":64},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":10}]}', 17610, 17216);
INSERT INTO nst_architecture VALUES (3, 'f656c491928154202dd05522e9e1baa046d6f84f0d87a3e304d761b884004010', 'mlp', '{"hidden":[{"width":32,"skip":true},{"width":64,"skip":true},{"width":32,"skip":false}],"activation":"relu","normalisation":"batch_norm","dropout":0.3}', '{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":32},{"kind":"batch_norm"}],"shortcut":[{"kind":"linear","out_features":32,"bias":false}]},{"kind":"activation","function":"relu"},{"kind":"dropout","rate":0.3},{"kind":"residual","body":[{"kind":"linear","out_features":64},{"kind":"batch_norm"}],"shortcut":[{"kind":"linear","out_features":64,"bias":false}]},{"kind":"activation","function":"relu"},{"kind":"dropout","rate":0.3},{"kind":"linear","out_features":32},{"kind":"batch_norm"},{"kind":"activation","function":"relu"},{"kind":"dropout","rate":0.3},{"kind":"linear","out_features":10}]}', 10954, 10688);
INSERT INTO nst_artifact VALUES (1, 1, 'model', '01M8H8W5KQMD87QTC6TKDEP36Z', '11d5b0105c32fad13a584a235854b441dd75e6d07adf05f98cf95fb528190242', 73072);
INSERT INTO nst_artifact VALUES (2, 6, 'model', '01M8H8W696P9GFK22VHFQSG8B8', '49233b44574f1813bb8a69b9162cd7cefd64a4541c53226237e1b53950fa69fd', 73072);
INSERT INTO nst_contribution VALUES (6, 1, 'site-1', 'accepted', NULL, 144191, 1358, 0.03623674799996479);
INSERT INTO nst_contribution VALUES (6, 1, 'site-2', 'accepted', NULL, 144191, 1358, 0.031035965999990367);
INSERT INTO nst_contribution VALUES (6, 1, 'site-3', 'accepted', NULL, 144191, 1358, 0.013986239999951522);
INSERT INTO nst_contribution VALUES (6, 2, 'site-1', 'accepted', NULL, 144191, 145554, 0.024466793000044618);
INSERT INTO nst_contribution VALUES (6, 2, 'site-2', 'accepted', NULL, 144191, 145554, 0.0277682450000043);
INSERT INTO nst_contribution VALUES (6, 2, 'site-3', 'accepted', NULL, 144191, 145554, 0.01446010600000136);
INSERT INTO nst_dataset VALUES (1, '171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666', 'digits', 1797, '{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}');
INSERT INTO nst_dataset VALUES (3, 'sha256:22', 'left', 5, '{}');
INSERT INTO nst_environment VALUES (1, 'd8e205ba0db4ca9e28b157ac5f94b1bb68bc96be48331d14426c6e9f01482e53', '{"python":"3.11.7","implementation":"CPython","platform":"Linux-6.18.44-fc-v657-x86_64-with-glibc2.36","machine":"x86_64","cpus":2,"nasturtium":"0.1.0","packages":{"numpy":"2.4.6","polars":"2.1.0","safetensors":"0.8.0","optuna":"5.0.0","sqlalchemy":"2.1.9","alembic":"1.20.1","flwr":"1.41.0","tenseal":"0.3.18"},"commit":null}');
INSERT INTO nst_federation VALUES (6, 3, 2, 'fedavg', 'plain', 0.5, 1, '{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"linear","out_features":128},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":64},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":10}]}');
INSERT INTO nst_metric VALUES (2, 'val_accuracy', 0.859504132231405, 0);
INSERT INTO nst_metric VALUES (2, 'val_loss', 0.6007847189903259, 0);
INSERT INTO nst_metric VALUES (2, 'parameters', 4810, 0);
INSERT INTO nst_metric VALUES (2, 'macs', 4736, 0);
INSERT INTO nst_metric VALUES (3, 'val_accuracy', 0.9421487603305785, 0);
INSERT INTO nst_metric VALUES (3, 'val_loss', 0.32684704661369324, 0);
INSERT INTO nst_metric VALUES (3, 'parameters', 17610, 0);
INSERT INTO nst_metric VALUES (3, 'macs', 17216, 0);
INSERT INTO nst_metric VALUES (4, 'val_accuracy', 0.8099173553719008, 0);
INSERT INTO nst_metric VALUES (4, 'val_loss', 1.0160105228424072, 0);
INSERT INTO nst_metric VALUES (4, 'parameters', 10954, 0);
INSERT INTO nst_metric VALUES (4, 'macs', 10688, 0);
INSERT INTO nst_metric VALUES (5, 'val_accuracy', 0.9421487603305785, 0);
INSERT INTO nst_metric VALUES (5, 'test_accuracy', 0.967032967032967, 0);
INSERT INTO nst_metric VALUES (5, 'test_loss', 0.24149440228939056, 0);
INSERT INTO nst_metric VALUES (5, 'parameters', 17610, 0);
INSERT INTO nst_metric VALUES (5, 'macs', 17216, 0);
INSERT INTO nst_metric VALUES (1, 'val_accuracy', 0.9421487603305785, 0);
INSERT INTO nst_metric VALUES (1, 'test_accuracy', 0.967032967032967, 0);
INSERT INTO nst_metric VALUES (1, 'test_loss', 0.24149440228939056, 0);
INSERT INTO nst_metric VALUES (1, 'parameters', 17610, 0);
INSERT INTO nst_metric VALUES (1, 'macs', 17216, 0);
INSERT INTO nst_metric VALUES (6, 'test_accuracy', 0.9340659340659341, 0);
INSERT INTO nst_metric VALUES (6, 'test_loss', 0.40410611033439636, 0);
INSERT INTO nst_metric VALUES (6, 'parameters', 17610, 0);
INSERT INTO nst_metric VALUES (6, 'macs', 17216, 0);
INSERT INTO nst_metric VALUES (6, 'bytes_up', 1297719, 0);
INSERT INTO nst_metric VALUES (6, 'bytes_down', 1314060, 0);
INSERT INTO nst_metric VALUES (6, 'val_accuracy', 0.9581881533101045, 0);
INSERT INTO nst_metric VALUES (7, 'val_loss', NULL, 1);
INSERT INTO nst_metric VALUES (7, 'worst', NULL, 2);
INSERT INTO nst_metric_point VALUES (2, 'train_loss', 1, 1.9299950570703668, 0);
INSERT INTO nst_metric_point VALUES (2, 'train_loss', 2, 0.7879016272375516, 0);
INSERT INTO nst_metric_point VALUES (2, 'train_loss', 3, 0.5685999837991234, 0);
INSERT INTO nst_metric_point VALUES (2, 'val_loss', 1, 1.1071159839630127, 0);
INSERT INTO nst_metric_point VALUES (2, 'val_loss', 2, 0.6530585289001465, 0);
INSERT INTO nst_metric_point VALUES (2, 'val_loss', 3, 0.6007847189903259, 0);
INSERT INTO nst_metric_point VALUES (2, 'val_accuracy', 1, 0.6942148760330579, 0);
INSERT INTO nst_metric_point VALUES (2, 'val_accuracy', 2, 0.8319559228650137, 0);
INSERT INTO nst_metric_point VALUES (2, 'val_accuracy', 3, 0.859504132231405, 0);
INSERT INTO nst_metric_point VALUES (3, 'train_loss', 1, 1.313131521683987, 0);
INSERT INTO nst_metric_point VALUES (3, 'train_loss', 2, 0.40217450690046647, 0);
INSERT INTO nst_metric_point VALUES (3, 'train_loss', 3, 0.2942879294959184, 0);
INSERT INTO nst_metric_point VALUES (3, 'val_loss', 1, 0.5534594655036926, 0);
INSERT INTO nst_metric_point VALUES (3, 'val_loss', 2, 0.3358893394470215, 0);
INSERT INTO nst_metric_point VALUES (3, 'val_loss', 3, 0.32684704661369324, 0);
INSERT INTO nst_metric_point VALUES (3, 'val_accuracy', 1, 0.8953168044077136, 0);
INSERT INTO nst_metric_point VALUES (3, 'val_accuracy', 2, 0.9366391184573003, 0);
INSERT INTO nst_metric_point VALUES (3, 'val_accuracy', 3, 0.9421487603305785, 0);
INSERT INTO nst_metric_point VALUES (4, 'train_loss', 1, 2.091023056752214, 0);
INSERT INTO nst_metric_point VALUES (4, 'train_loss', 2, 1.4656399129707123, 0);
INSERT INTO nst_metric_point VALUES (4, 'train_loss', 3, 1.3724452257156372, 0);
INSERT INTO nst_metric_point VALUES (4, 'val_loss', 1, 1.1981265544891357, 0);
INSERT INTO nst_metric_point VALUES (4, 'val_loss', 2, 1.0314319133758545, 0);
INSERT INTO nst_metric_point VALUES (4, 'val_loss', 3, 1.0160105228424072, 0);
INSERT INTO nst_metric_point VALUES (4, 'val_accuracy', 1, 0.7300275482093664, 0);
INSERT INTO nst_metric_point VALUES (4, 'val_accuracy', 2, 0.8071625344352618, 0);
INSERT INTO nst_metric_point VALUES (4, 'val_accuracy', 3, 0.8099173553719008, 0);
INSERT INTO nst_metric_point VALUES (5, 'train_loss', 1, 1.2171535090350307, 0);
INSERT INTO nst_metric_point VALUES (5, 'train_loss', 2, 0.3140245128867515, 0);
INSERT INTO nst_metric_point VALUES (5, 'train_loss', 3, 0.23279245483733854, 0);
INSERT INTO nst_metric_point VALUES (7, 'loss', 1, NULL, 1);
INSERT INTO nst_metric_point VALUES (7, 'loss', 2, NULL, 2);
INSERT INTO nst_metric_point VALUES (7, 'loss', 3, -1.5, 0);
INSERT INTO nst_metric_point VALUES (7, 'loss', 5, NULL, 3);
INSERT INTO nst_round VALUES (6, 1, 3, 0, 0.775, 0, 0.89198606271777, 0, 432573, 4074, 0.048389795999980834, 1795876067630350);
INSERT INTO nst_round VALUES (6, 2, 3, 0, 0.38, 0, 0.9581881533101045, 0, 432573, 436662, 0.04057494599999245, 1795876067684282);
INSERT INTO nst_run VALUES (2, '01M8H8W5SGFC1TRK8984K7WXG6', NULL, 'trial', 'completed', 1, 'digits', 8867601057144543979, '{}', 1, 1, 'vm', 2430, 'e82d386b-9e49-4aec-8475-13116a4a749a/30410', 1795876067120581, 1795876067141991, NULL);
INSERT INTO nst_run VALUES (3, '01M8H8W5VHKPWYP4NNXFN99FWF', NULL, 'trial', 'completed', 1, 'digits', 357969636515125329, '{}', 1, 1, 'vm', 2430, 'e82d386b-9e49-4aec-8475-13116a4a749a/30410', 1795876067185385, 1795876067219433, NULL);
INSERT INTO nst_run VALUES (4, '01M8H8W5XT6NN7074MSKTDF9ME', NULL, 'trial', 'completed', 1, 'digits', 1134459820640780124, '{}', 1, 1, 'vm', 2430, 'e82d386b-9e49-4aec-8475-13116a4a749a/30410', 1795876067258552, 1795876067299942, NULL);
INSERT INTO nst_run VALUES (5, '01M8H8W602HYZC4Z7BSCC0V8V2', NULL, 'retrain', 'completed', 1, 'digits', 2548299153476258974, '{"trial":"01M8H8W5VHKPWYP4NNXFN99FWF"}', 1, 1, 'vm', 2430, 'e82d386b-9e49-4aec-8475-13116a4a749a/30410', 1795876067330896, 1795876067369130, NULL);
INSERT INTO nst_run VALUES (1, '01M8H8W5KQMD87QTC6TKDEP36Z', 1, 'search', 'completed', NULL, 'digits', 0, '{"data":"digits","target":null,"trials":3,"seed":0,"space":"mlp","strategy":"tpe","epochs":3,"device":"cpu"}', 1, 1, 'vm', 2430, 'e82d386b-9e49-4aec-8475-13116a4a749a/30410', 1795876066935519, 1795876067372356, NULL);
INSERT INTO nst_run VALUES (6, '01M8H8W696P9GFK22VHFQSG8B8', 2, 'federated', 'completed', NULL, 'digits', 0, '{"data":"digits","target":null,"clients":3,"rounds":2,"seed":0,"split_seed":0,"alpha":0.5,"encrypted":false,"epochs":2,"workers":2}', 1, 1, 'vm', 2430, 'e82d386b-9e49-4aec-8475-13116a4a749a/30410', 1795876067622508, 1795876067746124, NULL);
INSERT INTO nst_run VALUES (7, '01M8H8W6DZ686TVQT15Q33G5CR', 3, 'search', 'failed', NULL, 'left', 1, '{"epochs":1,"trials":1}', 1, 3, 'vm', 2430, 'e82d386b-9e49-4aec-8475-13116a4a749a/30410', 1795876067775324, 1795876067786045, 'boom');
INSERT INTO nst_search VALUES (1, 'mlp', 'a24c686daf63e316321f5327afa3c982f2807db40d25802e3e47e4fe89a440f5', 'tpe', 'median', 3, 'nasturtium-01M8H8W5KQMD87QTC6TKDEP36Z');
INSERT INTO nst_search VALUES (7, 'mlp', 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', 'tpe', 'median', 1, 'nasturtium-01M8H8W6DZ686TVQT15Q33G5CR');
INSERT INTO nst_trial VALUES (2, 1, 0, 1, 1, '{"learning_rate":0.003273806395270013,"weight_decay":0.0004934878148654085}', 0);
INSERT INTO nst_trial VALUES (3, 1, 1, 1, 2, '{"learning_rate":0.0031394020330583836,"weight_decay":0.0011229962371650645}', 1);
INSERT INTO nst_trial VALUES (4, 1, 2, 1, 3, '{"learning_rate":0.005837266097988497,"weight_decay":0.002315843453006136}', 2);
INSERT INTO studies VALUES (1, 'nasturtium-01M8H8W5KQMD87QTC6TKDEP36Z');
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
INSERT INTO trials VALUES (1, 0, 1, 'COMPLETE', '2026-11-28 14:27:47.077461', '2026-11-28 14:27:47.150791');
INSERT INTO trials VALUES (2, 1, 1, 'COMPLETE', '2026-11-28 14:27:47.16063', '2026-11-28 14:27:47.225479');
INSERT INTO trials VALUES (3, 2, 1, 'COMPLETE', '2026-11-28 14:27:47.233915', '2026-11-28 14:27:47.305939');
INSERT INTO version_info VALUES (1, 12, '5.0.0');
SELECT pg_catalog.setval('nst_architecture_id_seq', 3, true);
SELECT pg_catalog.setval('nst_artifact_id_seq', 2, true);
SELECT pg_catalog.setval('nst_dataset_id_seq', 3, true);
SELECT pg_catalog.setval('nst_environment_id_seq', 7, true);
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
ALTER TABLE ONLY nst_architecture
    ADD CONSTRAINT pk_nst_architecture PRIMARY KEY (id);
ALTER TABLE ONLY nst_artifact
    ADD CONSTRAINT pk_nst_artifact PRIMARY KEY (id);
ALTER TABLE ONLY nst_contribution
    ADD CONSTRAINT pk_nst_contribution PRIMARY KEY (run_id, round, client);
ALTER TABLE ONLY nst_dataset
    ADD CONSTRAINT pk_nst_dataset PRIMARY KEY (id);
ALTER TABLE ONLY nst_environment
    ADD CONSTRAINT pk_nst_environment PRIMARY KEY (id);
ALTER TABLE ONLY nst_federation
    ADD CONSTRAINT pk_nst_federation PRIMARY KEY (run_id);
ALTER TABLE ONLY nst_metric
    ADD CONSTRAINT pk_nst_metric PRIMARY KEY (run_id, name);
ALTER TABLE ONLY nst_metric_point
    ADD CONSTRAINT pk_nst_metric_point PRIMARY KEY (run_id, name, step);
ALTER TABLE ONLY nst_round
    ADD CONSTRAINT pk_nst_round PRIMARY KEY (run_id, number);
ALTER TABLE ONLY nst_run
    ADD CONSTRAINT pk_nst_run PRIMARY KEY (id);
ALTER TABLE ONLY nst_search
    ADD CONSTRAINT pk_nst_search PRIMARY KEY (run_id);
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
    ADD CONSTRAINT uq_nst_artifact_run_id_role UNIQUE (run_id, role);
ALTER TABLE ONLY nst_dataset
    ADD CONSTRAINT uq_nst_dataset_fingerprint UNIQUE (fingerprint);
ALTER TABLE ONLY nst_environment
    ADD CONSTRAINT uq_nst_environment_sha256 UNIQUE (sha256);
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
CREATE INDEX ix_nst_federation_model_run_id ON nst_federation USING btree (model_run_id);
CREATE INDEX ix_nst_metric_name_value ON nst_metric USING btree (name, value);
CREATE INDEX ix_nst_run_kind_started_us ON nst_run USING btree (kind, started_us);
CREATE INDEX ix_nst_run_parent_id ON nst_run USING btree (parent_id);
CREATE INDEX ix_nst_trial_architecture_id ON nst_trial USING btree (architecture_id);
CREATE UNIQUE INDEX ix_studies_study_name ON studies USING btree (study_name);
CREATE INDEX ix_trials_study_id ON trials USING btree (study_id);
ALTER TABLE ONLY nst_artifact
    ADD CONSTRAINT fk_nst_artifact_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_contribution
    ADD CONSTRAINT fk_nst_contribution_run_id_round FOREIGN KEY (run_id, round) REFERENCES nst_round(run_id, number) ON DELETE CASCADE;
ALTER TABLE ONLY nst_federation
    ADD CONSTRAINT fk_nst_federation_model_run_id FOREIGN KEY (model_run_id) REFERENCES nst_run(id) ON DELETE SET NULL;
ALTER TABLE ONLY nst_federation
    ADD CONSTRAINT fk_nst_federation_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_metric_point
    ADD CONSTRAINT fk_nst_metric_point_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_metric
    ADD CONSTRAINT fk_nst_metric_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_round
    ADD CONSTRAINT fk_nst_round_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_run
    ADD CONSTRAINT fk_nst_run_dataset_id FOREIGN KEY (dataset_id) REFERENCES nst_dataset(id);
ALTER TABLE ONLY nst_run
    ADD CONSTRAINT fk_nst_run_environment_id FOREIGN KEY (environment_id) REFERENCES nst_environment(id);
ALTER TABLE ONLY nst_run
    ADD CONSTRAINT fk_nst_run_parent_id FOREIGN KEY (parent_id) REFERENCES nst_run(id) ON DELETE CASCADE;
ALTER TABLE ONLY nst_search
    ADD CONSTRAINT fk_nst_search_run_id FOREIGN KEY (run_id) REFERENCES nst_run(id) ON DELETE CASCADE;
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
