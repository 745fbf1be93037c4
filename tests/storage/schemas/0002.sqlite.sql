BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE nst_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT nst_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "nst_alembic_version" VALUES('0002');
CREATE TABLE nst_alias (
	model_id INTEGER NOT NULL, 
	alias TEXT NOT NULL, 
	version_id INTEGER NOT NULL, 
	set_us INTEGER NOT NULL, 
	CONSTRAINT pk_nst_alias PRIMARY KEY (model_id, alias), 
	CONSTRAINT fk_nst_alias_model_id FOREIGN KEY(model_id) REFERENCES nst_model (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_alias_version_id FOREIGN KEY(version_id) REFERENCES nst_model_version (id) ON DELETE CASCADE
);
CREATE TABLE nst_architecture (
	id INTEGER NOT NULL, 
	sha256 CHAR(64) NOT NULL, 
	space TEXT NOT NULL, 
	choices JSON NOT NULL, 
	spec JSON NOT NULL, 
	parameters INTEGER NOT NULL, 
	macs INTEGER NOT NULL, 
	CONSTRAINT pk_nst_architecture PRIMARY KEY (id), 
	CONSTRAINT uq_nst_architecture_sha256 UNIQUE (sha256)
);
INSERT INTO "nst_architecture" VALUES(1,'1e2aabef0ae5071db775764e1e1fc7b976508f77ced0c7d2383d2c6c2f011b90','mlp','{"hidden":[{"width":64,"skip":true}],"activation":"silu","normalisation":"none","dropout":0.0}','{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":64}],"shortcut":[]},{"kind":"activation","function":"silu"},{"kind":"linear","out_features":10}]}',4810,4736);
INSERT INTO "nst_architecture" VALUES(2,'e13cb5ad017af71960f42878784fd4d7c2612d63d7e327e953b79aa9f16b2f30','mlp','{"hidden":[{"width":128,"skip":false},{"width":64,"skip":false}],"activation":"gelu","normalisation":"batch_norm","dropout":0.0}','{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"linear","out_features":128},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":64},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":10}]}',17610,17216);
INSERT INTO "nst_architecture" VALUES(3,'f656c491928154202dd05522e9e1baa046d6f84f0d87a3e304d761b884004010','mlp','{"hidden":[{"width":32,"skip":true},{"width":64,"skip":true},{"width":32,"skip":false}],"activation":"relu","normalisation":"batch_norm","dropout":0.3}','{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":32},{"kind":"batch_norm"}],"shortcut":[{"kind":"linear","out_features":32,"bias":false}]},{"kind":"activation","function":"relu"},{"kind":"dropout","rate":0.3},{"kind":"residual","body":[{"kind":"linear","out_features":64},{"kind":"batch_norm"}],"shortcut":[{"kind":"linear","out_features":64,"bias":false}]},{"kind":"activation","function":"relu"},{"kind":"dropout","rate":0.3},{"kind":"linear","out_features":32},{"kind":"batch_norm"},{"kind":"activation","function":"relu"},{"kind":"dropout","rate":0.3},{"kind":"linear","out_features":10}]}',10954,10688);
CREATE TABLE nst_artifact (
	id INTEGER NOT NULL, 
	sha256 CHAR(64) NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	media_type TEXT NOT NULL, 
	created_us INTEGER NOT NULL, 
	CONSTRAINT pk_nst_artifact PRIMARY KEY (id), 
	CONSTRAINT uq_nst_artifact_sha256 UNIQUE (sha256)
);
INSERT INTO "nst_artifact" VALUES(1,'92ef745a98a019da3eb11b76fa00f55263f8ef7e62b65201dc22c854a8497824',2596,'application/json',1795899804175084);
INSERT INTO "nst_artifact" VALUES(2,'11d5b0105c32fad13a584a235854b441dd75e6d07adf05f98cf95fb528190242',73072,'application/vnd.safetensors',1795899804177711);
INSERT INTO "nst_artifact" VALUES(3,'05cb3bf35442989f977c00ff589f2d20ad270ef8b336b18b507eccfca8c0640a',2438,'application/json',1795899804875196);
INSERT INTO "nst_artifact" VALUES(4,'e99e0b65e9072b3cf278cbf85b8385b0ea5fd6672815d7668208cd8ce2c28ef4',73072,'application/vnd.safetensors',1795899804876971);
CREATE TABLE nst_ceremony (
	id INTEGER NOT NULL, 
	uid CHAR(26) NOT NULL, 
	run_id INTEGER, 
	scheme TEXT NOT NULL, 
	key_id TEXT NOT NULL, 
	parameters_sha256 CHAR(64), 
	public_key_sha256 CHAR(64), 
	members JSON NOT NULL, 
	threshold INTEGER, 
	state VARCHAR(16) NOT NULL, 
	started_us INTEGER NOT NULL, 
	ended_us INTEGER, 
	CONSTRAINT pk_nst_ceremony PRIMARY KEY (id), 
	CONSTRAINT uq_nst_ceremony_uid UNIQUE (uid), 
	CONSTRAINT fk_nst_ceremony_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE SET NULL, 
	CONSTRAINT ck_nst_ceremony_state CHECK (state IN ('completed', 'failed'))
);
CREATE TABLE nst_contribution (
	run_id INTEGER NOT NULL, 
	round INTEGER NOT NULL, 
	node_id INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	reason TEXT, 
	bytes_up INTEGER NOT NULL, 
	bytes_down INTEGER NOT NULL, 
	seconds DOUBLE NOT NULL, 
	rows INTEGER, 
	train_seconds DOUBLE, 
	encrypt_seconds DOUBLE, 
	update_norm DOUBLE, 
	clipped BOOLEAN, 
	CONSTRAINT pk_nst_contribution PRIMARY KEY (run_id, round, node_id), 
	CONSTRAINT fk_nst_contribution_run_id_round FOREIGN KEY(run_id, round) REFERENCES nst_round (run_id, number) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_contribution_node_id FOREIGN KEY(node_id) REFERENCES nst_node (id), 
	CONSTRAINT ck_nst_contribution_state CHECK (state IN ('accepted', 'rejected'))
);
INSERT INTO "nst_contribution" VALUES(6,1,1,'accepted',NULL,19802,1749,2.13336219967459328472e-02,NULL,1.90273450025415513664e-02,0.000860632997500943,NULL,NULL);
INSERT INTO "nst_contribution" VALUES(6,1,2,'accepted',NULL,19802,1749,3.80306229999405331909e-02,NULL,2.8136253000411670655e-02,9.07352001377148553729e-04,NULL,NULL);
INSERT INTO "nst_contribution" VALUES(6,1,3,'accepted',NULL,19802,1749,2.20170309985405765473e-02,NULL,2.02892359993711579591e-02,0.000679893000778975,NULL,NULL);
INSERT INTO "nst_contribution" VALUES(6,2,1,'accepted',NULL,19802,26499,2.38568929999019019305e-02,NULL,2.23361759999534115195e-02,6.37870998616563156247e-04,NULL,NULL);
INSERT INTO "nst_contribution" VALUES(6,2,2,'accepted',NULL,19802,26499,2.38799280014063697308e-02,NULL,1.85598979987844359129e-02,0.00471248500252841,NULL,NULL);
INSERT INTO "nst_contribution" VALUES(6,2,3,'accepted',NULL,19802,26499,1.50488230028713587671e-02,NULL,1.3555566998547874391e-02,0.000745821998862084,NULL,NULL);
CREATE TABLE nst_dataset (
	id INTEGER NOT NULL, 
	fingerprint TEXT NOT NULL, 
	keyed BOOLEAN DEFAULT false NOT NULL, 
	name TEXT NOT NULL, 
	rows INTEGER, 
	body JSON NOT NULL, 
	CONSTRAINT pk_nst_dataset PRIMARY KEY (id), 
	CONSTRAINT uq_nst_dataset_fingerprint UNIQUE (fingerprint)
);
INSERT INTO "nst_dataset" VALUES(1,'171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666',0,'digits',1797,'{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}');
INSERT INTO "nst_dataset" VALUES(2,'hmac-sha256:292742c570f59ab8ebcfe029ea0d70cae2c959e8df78c04d70f6b22796def7c3',1,'digits at site-1',NULL,'{}');
INSERT INTO "nst_dataset" VALUES(3,'hmac-sha256:4fe32d152237fd6bce2fb1351a1cca5a5f72857ca1bb7c007f903249121aed89',1,'digits at site-2',NULL,'{}');
INSERT INTO "nst_dataset" VALUES(4,'hmac-sha256:30e6d54ea80d52e7852310bcd0297d68aeb0328cbf31b79215ef4d9113bdc3ed',1,'digits at site-3',NULL,'{}');
INSERT INTO "nst_dataset" VALUES(5,'sha256:22',0,'left',5,'{}');
CREATE TABLE nst_deployment (
	id INTEGER NOT NULL, 
	uid CHAR(26) NOT NULL, 
	version_id INTEGER NOT NULL, 
	endpoint TEXT NOT NULL, 
	host TEXT NOT NULL, 
	started_us INTEGER NOT NULL, 
	stopped_us INTEGER, 
	CONSTRAINT pk_nst_deployment PRIMARY KEY (id), 
	CONSTRAINT uq_nst_deployment_uid UNIQUE (uid), 
	CONSTRAINT fk_nst_deployment_version_id FOREIGN KEY(version_id) REFERENCES nst_model_version (id) ON DELETE CASCADE
);
CREATE TABLE nst_environment (
	id INTEGER NOT NULL, 
	sha256 CHAR(64) NOT NULL, 
	body JSON NOT NULL, 
	CONSTRAINT pk_nst_environment PRIMARY KEY (id), 
	CONSTRAINT uq_nst_environment_sha256 UNIQUE (sha256)
);
INSERT INTO "nst_environment" VALUES(1,'778eeb4e98ca9d2cee5939ed954c6ac15f5a73f5f75899b39b2a7c5b70f2444a','{"python":"3.11.7","implementation":"CPython","platform":"Linux-6.18.44-fc-v657-x86_64-with-glibc2.36","machine":"x86_64","cpu":"AMD EPYC","cpus":2,"memory_bytes":25276510208,"gpus":[],"nasturtium":"0.1.0","packages":{"numpy":"2.4.6","polars":"2.1.0","safetensors":"0.8.0","optuna":"5.0.0","sqlalchemy":"2.1.9","alembic":"1.20.1","flwr":"1.41.0","tenseal":"0.3.18"},"commit":null,"dirty":null}');
CREATE TABLE nst_event (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	run_id INTEGER NOT NULL, 
	at_us INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	body JSON NOT NULL, 
	CONSTRAINT fk_nst_event_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE
);
INSERT INTO "nst_event" VALUES(1,1,1795899803820268,'started','{}');
INSERT INTO "nst_event" VALUES(2,2,1795899803955405,'started','{}');
INSERT INTO "nst_event" VALUES(3,2,1795899803983802,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(4,3,1795899804011496,'started','{}');
INSERT INTO "nst_event" VALUES(5,3,1795899804051539,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(6,4,1795899804073117,'started','{}');
INSERT INTO "nst_event" VALUES(7,4,1795899804120759,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(8,5,1795899804134454,'started','{}');
INSERT INTO "nst_event" VALUES(9,5,1795899804190286,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(10,1,1795899804200351,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(11,6,1795899804719022,'started','{}');
INSERT INTO "nst_event" VALUES(12,6,1795899804794279,'round','{"number":1,"state":"completed","participants":3}');
INSERT INTO "nst_event" VALUES(13,6,1795899804844372,'round','{"number":2,"state":"completed","participants":3}');
INSERT INTO "nst_event" VALUES(14,6,1795899804861382,'round figures','{"number":1}');
INSERT INTO "nst_event" VALUES(15,6,1795899804868703,'round figures','{"number":2}');
INSERT INTO "nst_event" VALUES(16,6,1795899804886654,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(17,7,1795899804907771,'started','{}');
INSERT INTO "nst_event" VALUES(18,7,1795899804921211,'ended','{"state":"failed"}');
CREATE TABLE nst_experiment (
	id INTEGER NOT NULL, 
	uid CHAR(26) NOT NULL, 
	name TEXT NOT NULL, 
	note TEXT, 
	created_us INTEGER NOT NULL, 
	deleted_us INTEGER, 
	CONSTRAINT pk_nst_experiment PRIMARY KEY (id), 
	CONSTRAINT uq_nst_experiment_uid UNIQUE (uid)
);
INSERT INTO "nst_experiment" VALUES(1,'01M8HZGJ588G73BDQW9E9MCF8C','default',NULL,1795899803816264,NULL);
CREATE TABLE nst_federation (
	run_id INTEGER NOT NULL, 
	clients INTEGER NOT NULL, 
	rounds INTEGER NOT NULL, 
	strategy TEXT NOT NULL, 
	scheme TEXT NOT NULL, 
	alpha DOUBLE, 
	flwr_run_id TEXT, 
	min_clients INTEGER, 
	privacy JSON, 
	model_run_id INTEGER, 
	spec JSON NOT NULL, 
	CONSTRAINT pk_nst_federation PRIMARY KEY (run_id), 
	CONSTRAINT fk_nst_federation_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_federation_model_run_id FOREIGN KEY(model_run_id) REFERENCES nst_run (id) ON DELETE SET NULL
);
INSERT INTO "nst_federation" VALUES(6,3,2,'fedavg','plain',0.5,NULL,NULL,NULL,1,'{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"linear","out_features":128},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":64},{"kind":"batch_norm"},{"kind":"activation","function":"gelu"},{"kind":"linear","out_features":10}]}');
CREATE TABLE nst_ledger (
	sequence INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	subject TEXT, 
	run_uid CHAR(26), 
	body TEXT NOT NULL, 
	recorded_us INTEGER NOT NULL, 
	previous CHAR(64) NOT NULL, 
	hash CHAR(64) NOT NULL, 
	signer CHAR(64) NOT NULL, 
	signature TEXT NOT NULL, 
	CONSTRAINT pk_nst_ledger PRIMARY KEY (sequence), 
	CONSTRAINT uq_nst_ledger_hash UNIQUE (hash)
);
INSERT INTO "nst_ledger" VALUES(1,'spend','171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666','01M8HZGK1C43HVK5TBRWJKX3ZQ','{"delta":0.0,"details":{"composition":"basic: runs are added up, each in its own unit of privacy"},"epsilon":"inf","mechanism":"exact sum of updates","round":1,"total":{"delta":0.0,"epsilon":"inf","releases":1}}',1795899804736903,'0000000000000000000000000000000000000000000000000000000000000000','8ad82d02f92268b0861fadc2ca9a9d23f35295161704e244b4914e9eab60a4c4','3925af96393337fd0988f7f5401263a932009b8ab20c73199b7974c63589f446','56644ef58a5e1cd6bf9b2db45899073e20476f806d2ebf39c747e56de180cf7b654769ceef436fef7269c0be3f52feaa389c68272df0b719044c07ee61d82f05');
INSERT INTO "nst_ledger" VALUES(2,'spend','171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666','01M8HZGK1C43HVK5TBRWJKX3ZQ','{"delta":0.0,"details":{"composition":"basic: runs are added up, each in its own unit of privacy"},"epsilon":"inf","mechanism":"exact sum of updates","round":2,"total":{"delta":0.0,"epsilon":"inf","releases":2}}',1795899804796672,'5b5a34a1773a6e20d82371c25e973b916ca746f96e020d22af5bf122671c4991','7e6a31a6dd9eea1f96d20e4ea77b0beee02086588c86d5d3bfbee9db2863986e','3925af96393337fd0988f7f5401263a932009b8ab20c73199b7974c63589f446','ac97e06a334e282ee4c71e4aea1def8ec7ecdf13ee82c2d14adc24d0f42debc523f076574f4fb24f0f8eba88b8e82c50d5a77a0cb6d8e4ac774350b14112d209');
INSERT INTO "nst_ledger" VALUES(3,'spend','171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666','01M8HZGK1C43HVK5TBRWJKX3ZQ','{"delta":0.0,"details":{"composition":"basic: runs are added up, each in its own unit of privacy"},"epsilon":"inf","mechanism":"exact counts","round":3,"total":{"delta":0.0,"epsilon":"inf","releases":3}}',1795899804846326,'cef5125a8e32d4a8289a0bc9d07e5f64af439695db71f20304683b8578b05d4e','8be461023ad7292b902c3e074e805c41e88e022d4dae3685ab7af2da296a437c','3925af96393337fd0988f7f5401263a932009b8ab20c73199b7974c63589f446','d33445bdb28ba5474bc79360d560de7d332cb1aa83a3aae0cb02906b2fc1882654f533e59bbc446b6f83b8ac97a1f1a40f8d7a54c82ff39900cb0a6eacb99a08');
CREATE TABLE nst_lineage (
	source_kind VARCHAR(16) NOT NULL, 
	source_id INTEGER NOT NULL, 
	relation TEXT NOT NULL, 
	target_kind VARCHAR(16) NOT NULL, 
	target_id INTEGER NOT NULL, 
	CONSTRAINT pk_nst_lineage PRIMARY KEY (source_kind, source_id, relation, target_kind, target_id), 
	CONSTRAINT ck_nst_lineage_source_kind CHECK (source_kind IN ('run', 'dataset', 'architecture', 'artifact', 'version', 'deployment', 'ceremony')), 
	CONSTRAINT ck_nst_lineage_target_kind CHECK (target_kind IN ('run', 'dataset', 'architecture', 'artifact', 'version', 'deployment', 'ceremony'))
)
 WITHOUT ROWID

;
INSERT INTO "nst_lineage" VALUES('run',1,'saved','artifact',1);
INSERT INTO "nst_lineage" VALUES('run',5,'saved','artifact',1);
INSERT INTO "nst_lineage" VALUES('run',1,'saved','artifact',2);
INSERT INTO "nst_lineage" VALUES('run',5,'saved','artifact',2);
INSERT INTO "nst_lineage" VALUES('run',6,'saved','artifact',3);
INSERT INTO "nst_lineage" VALUES('run',6,'saved','artifact',4);
INSERT INTO "nst_lineage" VALUES('dataset',1,'trained on by','run',1);
INSERT INTO "nst_lineage" VALUES('architecture',1,'evaluated by','run',2);
INSERT INTO "nst_lineage" VALUES('run',1,'proposed','run',2);
INSERT INTO "nst_lineage" VALUES('architecture',2,'evaluated by','run',3);
INSERT INTO "nst_lineage" VALUES('run',1,'proposed','run',3);
INSERT INTO "nst_lineage" VALUES('architecture',3,'evaluated by','run',4);
INSERT INTO "nst_lineage" VALUES('run',1,'proposed','run',4);
INSERT INTO "nst_lineage" VALUES('run',3,'retrained as','run',5);
INSERT INTO "nst_lineage" VALUES('dataset',1,'trained on by','run',6);
INSERT INTO "nst_lineage" VALUES('dataset',2,'trained on at a site by','run',6);
INSERT INTO "nst_lineage" VALUES('dataset',3,'trained on at a site by','run',6);
INSERT INTO "nst_lineage" VALUES('dataset',4,'trained on at a site by','run',6);
INSERT INTO "nst_lineage" VALUES('run',5,'network of','run',6);
INSERT INTO "nst_lineage" VALUES('dataset',5,'trained on by','run',7);
INSERT INTO "nst_lineage" VALUES('artifact',2,'published as','version',1);
INSERT INTO "nst_lineage" VALUES('artifact',4,'published as','version',2);
CREATE TABLE nst_meta (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_nst_meta PRIMARY KEY ("key")
);
INSERT INTO "nst_meta" VALUES('instance','01M8HZGJ4GWCA5CJSTM1VDDWQJ');
INSERT INTO "nst_meta" VALUES('created_us','1795899803792154');
INSERT INTO "nst_meta" VALUES('last_number','3');
CREATE TABLE nst_metric (
	run_id INTEGER NOT NULL, 
	name_id INTEGER NOT NULL, 
	value DOUBLE, 
	reported BOOLEAN NOT NULL, 
	points INTEGER NOT NULL, 
	first_step INTEGER, 
	last_step INTEGER, 
	last DOUBLE, 
	min DOUBLE, 
	min_step INTEGER, 
	max DOUBLE, 
	max_step INTEGER, 
	CONSTRAINT pk_nst_metric PRIMARY KEY (run_id, name_id), 
	CONSTRAINT fk_nst_metric_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_metric_name_id FOREIGN KEY(name_id) REFERENCES nst_name (id)
)
 WITHOUT ROWID

;
INSERT INTO "nst_metric" VALUES(1,16,9.42148760330578483035e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,18,17216.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,19,17610.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,25,0.967032967032967,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,26,2.41494402289390563964e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(2,15,5.68599983799123354089e-01,0,3,1,3,5.68599983799123354089e-01,5.68599983799123354089e-01,3,1.92999505707036678181e+00,1);
INSERT INTO "nst_metric" VALUES(2,16,0.859504132231405,1,3,1,3,0.859504132231405,6.94214876033057870508e-01,1,0.859504132231405,3);
INSERT INTO "nst_metric" VALUES(2,17,6.00784718990325927734e-01,1,3,1,3,6.00784718990325927734e-01,6.00784718990325927734e-01,3,1.10711598396301269531e+00,1);
INSERT INTO "nst_metric" VALUES(2,18,4736.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(2,19,4810.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(3,15,2.94287929495918421096e-01,0,3,1,3,2.94287929495918421096e-01,2.94287929495918421096e-01,3,1.31313152168398694641e+00,1);
INSERT INTO "nst_metric" VALUES(3,16,9.42148760330578483035e-01,1,3,1,3,9.42148760330578483035e-01,8.95316804407713551228e-01,1,9.42148760330578483035e-01,3);
INSERT INTO "nst_metric" VALUES(3,17,3.26847046613693237304e-01,1,3,1,3,3.26847046613693237304e-01,3.26847046613693237304e-01,3,5.53459465503692626953e-01,1);
INSERT INTO "nst_metric" VALUES(3,18,17216.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(3,19,17610.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(4,15,1.37244522571563720703e+00,0,3,1,3,1.37244522571563720703e+00,1.37244522571563720703e+00,3,2.09102305675221389336e+00,1);
INSERT INTO "nst_metric" VALUES(4,16,8.09917355371900793414e-01,1,3,1,3,8.09917355371900793414e-01,7.30027548209366439202e-01,1,8.09917355371900793414e-01,3);
INSERT INTO "nst_metric" VALUES(4,17,1.01601052284240722656e+00,1,3,1,3,1.01601052284240722656e+00,1.01601052284240722656e+00,3,1.19812655448913574218e+00,1);
INSERT INTO "nst_metric" VALUES(4,18,10688.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(4,19,10954.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(5,15,2.32792454837338541606e-01,0,3,1,3,2.32792454837338541606e-01,2.32792454837338541606e-01,3,1.21715350903503072288e+00,1);
INSERT INTO "nst_metric" VALUES(5,16,9.42148760330578483035e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(5,18,17216.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(5,19,17610.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(5,25,0.967032967032967,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(5,26,2.41494402289390563964e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(6,16,9.58188153310104540061e-01,1,2,1,2,9.58188153310104540061e-01,0.89198606271777,1,9.58188153310104540061e-01,2);
INSERT INTO "nst_metric" VALUES(6,17,0.38,0,2,1,2,0.38,0.38,2,0.775,1);
INSERT INTO "nst_metric" VALUES(6,18,17216.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(6,19,17610.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(6,25,9.34065934065934078134e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(6,26,4.03926342725753784179e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(6,37,243738.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(6,38,178218.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(7,17,NULL,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(7,39,-9e999,0,4,1,5,-9e999,-9e999,5,9e999,2);
INSERT INTO "nst_metric" VALUES(7,40,9e999,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE nst_metric_point (
	run_id INTEGER NOT NULL, 
	name_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	value DOUBLE, 
	at_ms INTEGER, 
	CONSTRAINT pk_nst_metric_point PRIMARY KEY (run_id, name_id, step), 
	CONSTRAINT fk_nst_metric_point_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_metric_point_name_id FOREIGN KEY(name_id) REFERENCES nst_name (id)
)
 WITHOUT ROWID

;
INSERT INTO "nst_metric_point" VALUES(2,15,1,1.92999505707036678181e+00,10);
INSERT INTO "nst_metric_point" VALUES(2,15,2,7.87901627237551638316e-01,17);
INSERT INTO "nst_metric_point" VALUES(2,15,3,5.68599983799123354089e-01,20);
INSERT INTO "nst_metric_point" VALUES(2,16,1,6.94214876033057870508e-01,10);
INSERT INTO "nst_metric_point" VALUES(2,16,2,8.31955922865013741684e-01,17);
INSERT INTO "nst_metric_point" VALUES(2,16,3,0.859504132231405,20);
INSERT INTO "nst_metric_point" VALUES(2,17,1,1.10711598396301269531e+00,10);
INSERT INTO "nst_metric_point" VALUES(2,17,2,6.53058528900146484375e-01,17);
INSERT INTO "nst_metric_point" VALUES(2,17,3,6.00784718990325927734e-01,20);
INSERT INTO "nst_metric_point" VALUES(3,15,1,1.31313152168398694641e+00,14);
INSERT INTO "nst_metric_point" VALUES(3,15,2,4.0217450690046646633e-01,27);
INSERT INTO "nst_metric_point" VALUES(3,15,3,2.94287929495918421096e-01,36);
INSERT INTO "nst_metric_point" VALUES(3,16,1,8.95316804407713551228e-01,14);
INSERT INTO "nst_metric_point" VALUES(3,16,2,9.36639118457300301479e-01,27);
INSERT INTO "nst_metric_point" VALUES(3,16,3,9.42148760330578483035e-01,36);
INSERT INTO "nst_metric_point" VALUES(3,17,1,5.53459465503692626953e-01,14);
INSERT INTO "nst_metric_point" VALUES(3,17,2,3.35889339447021484375e-01,27);
INSERT INTO "nst_metric_point" VALUES(3,17,3,3.26847046613693237304e-01,36);
INSERT INTO "nst_metric_point" VALUES(4,15,1,2.09102305675221389336e+00,17);
INSERT INTO "nst_metric_point" VALUES(4,15,2,1.46563991297071227748e+00,33);
INSERT INTO "nst_metric_point" VALUES(4,15,3,1.37244522571563720703e+00,44);
INSERT INTO "nst_metric_point" VALUES(4,16,1,7.30027548209366439202e-01,17);
INSERT INTO "nst_metric_point" VALUES(4,16,2,8.07162534435261758147e-01,33);
INSERT INTO "nst_metric_point" VALUES(4,16,3,8.09917355371900793414e-01,44);
INSERT INTO "nst_metric_point" VALUES(4,17,1,1.19812655448913574218e+00,17);
INSERT INTO "nst_metric_point" VALUES(4,17,2,1.03143191337585449218e+00,33);
INSERT INTO "nst_metric_point" VALUES(4,17,3,1.01601052284240722656e+00,44);
INSERT INTO "nst_metric_point" VALUES(5,15,1,1.21715350903503072288e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(5,15,2,3.14024512886751483442e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(5,15,3,2.32792454837338541606e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(6,16,1,0.89198606271777,NULL);
INSERT INTO "nst_metric_point" VALUES(6,16,2,9.58188153310104540061e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(6,17,1,0.775,NULL);
INSERT INTO "nst_metric_point" VALUES(6,17,2,0.38,NULL);
INSERT INTO "nst_metric_point" VALUES(7,39,1,NULL,NULL);
INSERT INTO "nst_metric_point" VALUES(7,39,2,9e999,NULL);
INSERT INTO "nst_metric_point" VALUES(7,39,3,-1.5,NULL);
INSERT INTO "nst_metric_point" VALUES(7,39,5,-9e999,NULL);
CREATE TABLE nst_model (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	created_us INTEGER NOT NULL, 
	CONSTRAINT pk_nst_model PRIMARY KEY (id), 
	CONSTRAINT uq_nst_model_name UNIQUE (name)
);
INSERT INTO "nst_model" VALUES(1,'digits',1795899804192658);
CREATE TABLE nst_model_version (
	id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	run_id INTEGER, 
	artifact_id INTEGER NOT NULL, 
	signature JSON NOT NULL, 
	opset INTEGER, 
	created_us INTEGER NOT NULL, 
	CONSTRAINT pk_nst_model_version PRIMARY KEY (id), 
	CONSTRAINT uq_nst_model_version_model_id_version UNIQUE (model_id, version), 
	CONSTRAINT fk_nst_model_version_model_id FOREIGN KEY(model_id) REFERENCES nst_model (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_model_version_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE SET NULL, 
	CONSTRAINT fk_nst_model_version_artifact_id FOREIGN KEY(artifact_id) REFERENCES nst_artifact (id)
);
INSERT INTO "nst_model_version" VALUES(1,1,1,1,2,'{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}',NULL,1795899804192658);
INSERT INTO "nst_model_version" VALUES(2,1,2,6,4,'{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}',NULL,1795899804879710);
CREATE TABLE nst_name (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	CONSTRAINT pk_nst_name PRIMARY KEY (id), 
	CONSTRAINT uq_nst_name_name UNIQUE (name)
);
INSERT INTO "nst_name" VALUES(1,'data');
INSERT INTO "nst_name" VALUES(2,'device');
INSERT INTO "nst_name" VALUES(3,'epochs');
INSERT INTO "nst_name" VALUES(4,'seed');
INSERT INTO "nst_name" VALUES(5,'space');
INSERT INTO "nst_name" VALUES(6,'strategy');
INSERT INTO "nst_name" VALUES(7,'trials');
INSERT INTO "nst_name" VALUES(8,'activation');
INSERT INTO "nst_name" VALUES(9,'dropout');
INSERT INTO "nst_name" VALUES(10,'hidden.0.skip');
INSERT INTO "nst_name" VALUES(11,'hidden.0.width');
INSERT INTO "nst_name" VALUES(12,'learning_rate');
INSERT INTO "nst_name" VALUES(13,'normalisation');
INSERT INTO "nst_name" VALUES(14,'weight_decay');
INSERT INTO "nst_name" VALUES(15,'train_loss');
INSERT INTO "nst_name" VALUES(16,'val_accuracy');
INSERT INTO "nst_name" VALUES(17,'val_loss');
INSERT INTO "nst_name" VALUES(18,'macs');
INSERT INTO "nst_name" VALUES(19,'parameters');
INSERT INTO "nst_name" VALUES(20,'hidden.1.skip');
INSERT INTO "nst_name" VALUES(21,'hidden.1.width');
INSERT INTO "nst_name" VALUES(22,'hidden.2.skip');
INSERT INTO "nst_name" VALUES(23,'hidden.2.width');
INSERT INTO "nst_name" VALUES(24,'trial');
INSERT INTO "nst_name" VALUES(25,'test_accuracy');
INSERT INTO "nst_name" VALUES(26,'test_loss');
INSERT INTO "nst_name" VALUES(27,'alpha');
INSERT INTO "nst_name" VALUES(28,'bits');
INSERT INTO "nst_name" VALUES(29,'clients');
INSERT INTO "nst_name" VALUES(30,'clip');
INSERT INTO "nst_name" VALUES(31,'delta');
INSERT INTO "nst_name" VALUES(32,'masked');
INSERT INTO "nst_name" VALUES(33,'rounds');
INSERT INTO "nst_name" VALUES(34,'scheme');
INSERT INTO "nst_name" VALUES(35,'split_seed');
INSERT INTO "nst_name" VALUES(36,'workers');
INSERT INTO "nst_name" VALUES(37,'bytes_down');
INSERT INTO "nst_name" VALUES(38,'bytes_up');
INSERT INTO "nst_name" VALUES(39,'loss');
INSERT INTO "nst_name" VALUES(40,'worst');
CREATE TABLE nst_node (
	id INTEGER NOT NULL, 
	uid CHAR(26) NOT NULL, 
	name TEXT NOT NULL, 
	public_key_sha256 CHAR(64), 
	first_seen_us INTEGER NOT NULL, 
	last_seen_us INTEGER NOT NULL, 
	CONSTRAINT pk_nst_node PRIMARY KEY (id), 
	CONSTRAINT uq_nst_node_uid UNIQUE (uid), 
	CONSTRAINT uq_nst_node_name UNIQUE (name)
);
INSERT INTO "nst_node" VALUES(1,'01M8HZGK1N9MZJ0GVMKNT5F2M5','site-1',NULL,1795899804725274,1795899804842648);
INSERT INTO "nst_node" VALUES(2,'01M8HZGK1RTMG1Z6RH86BFCACE','site-2',NULL,1795899804728384,1795899804842648);
INSERT INTO "nst_node" VALUES(3,'01M8HZGK1T1BCMZX4326C3K6GV','site-3',NULL,1795899804730235,1795899804842648);
CREATE TABLE nst_note (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	created_us INTEGER NOT NULL, 
	CONSTRAINT pk_nst_note PRIMARY KEY (id), 
	CONSTRAINT fk_nst_note_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE
);
CREATE TABLE nst_param (
	run_id INTEGER NOT NULL, 
	name_id INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	number DOUBLE, 
	is_text BOOLEAN NOT NULL, 
	CONSTRAINT pk_nst_param PRIMARY KEY (run_id, name_id), 
	CONSTRAINT fk_nst_param_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_param_name_id FOREIGN KEY(name_id) REFERENCES nst_name (id)
)
 WITHOUT ROWID

;
INSERT INTO "nst_param" VALUES(1,1,'digits',NULL,1);
INSERT INTO "nst_param" VALUES(1,2,'cpu',NULL,1);
INSERT INTO "nst_param" VALUES(1,3,'3',3.0,0);
INSERT INTO "nst_param" VALUES(1,4,'0',0.0,0);
INSERT INTO "nst_param" VALUES(1,5,'mlp',NULL,1);
INSERT INTO "nst_param" VALUES(1,6,'tpe',NULL,1);
INSERT INTO "nst_param" VALUES(1,7,'3',3.0,0);
INSERT INTO "nst_param" VALUES(2,8,'silu',NULL,1);
INSERT INTO "nst_param" VALUES(2,9,'0.0',0.0,0);
INSERT INTO "nst_param" VALUES(2,10,'true',1.0,0);
INSERT INTO "nst_param" VALUES(2,11,'64',64.0,0);
INSERT INTO "nst_param" VALUES(2,12,'0.003273806395270013',3.27380639527001309971e-03,0);
INSERT INTO "nst_param" VALUES(2,13,'none',NULL,1);
INSERT INTO "nst_param" VALUES(2,14,'0.0004934878148654085',4.93487814865408466573e-04,0);
INSERT INTO "nst_param" VALUES(3,8,'gelu',NULL,1);
INSERT INTO "nst_param" VALUES(3,9,'0.0',0.0,0);
INSERT INTO "nst_param" VALUES(3,10,'false',0.0,0);
INSERT INTO "nst_param" VALUES(3,11,'128',128.0,0);
INSERT INTO "nst_param" VALUES(3,12,'0.0031394020330583836',3.1394020330583836259e-03,0);
INSERT INTO "nst_param" VALUES(3,13,'batch_norm',NULL,1);
INSERT INTO "nst_param" VALUES(3,14,'0.0011229962371650645',1.12299623716506451719e-03,0);
INSERT INTO "nst_param" VALUES(3,20,'false',0.0,0);
INSERT INTO "nst_param" VALUES(3,21,'64',64.0,0);
INSERT INTO "nst_param" VALUES(4,8,'relu',NULL,1);
INSERT INTO "nst_param" VALUES(4,9,'0.3',0.3,0);
INSERT INTO "nst_param" VALUES(4,10,'true',1.0,0);
INSERT INTO "nst_param" VALUES(4,11,'32',32.0,0);
INSERT INTO "nst_param" VALUES(4,12,'0.005837266097988497',5.8372660979884973334e-03,0);
INSERT INTO "nst_param" VALUES(4,13,'batch_norm',NULL,1);
INSERT INTO "nst_param" VALUES(4,14,'0.002315843453006136',2.31584345300613579643e-03,0);
INSERT INTO "nst_param" VALUES(4,20,'true',1.0,0);
INSERT INTO "nst_param" VALUES(4,21,'64',64.0,0);
INSERT INTO "nst_param" VALUES(4,22,'false',0.0,0);
INSERT INTO "nst_param" VALUES(4,23,'32',32.0,0);
INSERT INTO "nst_param" VALUES(5,24,'01M8HZGJBAT8K7G8YF5944RTG1',NULL,1);
INSERT INTO "nst_param" VALUES(6,1,'digits',NULL,1);
INSERT INTO "nst_param" VALUES(6,3,'2',2.0,0);
INSERT INTO "nst_param" VALUES(6,4,'0',0.0,0);
INSERT INTO "nst_param" VALUES(6,27,'0.5',0.5,0);
INSERT INTO "nst_param" VALUES(6,28,'8',8.0,0);
INSERT INTO "nst_param" VALUES(6,29,'3',3.0,0);
INSERT INTO "nst_param" VALUES(6,30,'1.0',1.0,0);
INSERT INTO "nst_param" VALUES(6,31,'1e-05',1.0e-05,0);
INSERT INTO "nst_param" VALUES(6,32,'false',0.0,0);
INSERT INTO "nst_param" VALUES(6,33,'2',2.0,0);
INSERT INTO "nst_param" VALUES(6,34,'plain',NULL,1);
INSERT INTO "nst_param" VALUES(6,35,'0',0.0,0);
INSERT INTO "nst_param" VALUES(6,36,'2',2.0,0);
INSERT INTO "nst_param" VALUES(7,3,'1',1.0,0);
INSERT INTO "nst_param" VALUES(7,7,'1',1.0,0);
CREATE TABLE nst_round (
	run_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	participants INTEGER NOT NULL, 
	rejected INTEGER NOT NULL, 
	bytes_up INTEGER NOT NULL, 
	bytes_down INTEGER NOT NULL, 
	bytes_plain INTEGER, 
	aggregate_seconds DOUBLE, 
	seconds DOUBLE NOT NULL, 
	started_us INTEGER NOT NULL, 
	CONSTRAINT pk_nst_round PRIMARY KEY (run_id, number), 
	CONSTRAINT fk_nst_round_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT ck_nst_round_state CHECK (state IN ('completed', 'failed'))
);
INSERT INTO "nst_round" VALUES(6,1,'completed',3,0,59406,5247,211320,1.00852299874532036483e-03,4.65473990007012616842e-02,1795899804739333);
INSERT INTO "nst_round" VALUES(6,2,'completed',3,0,59406,79497,211320,9.10407001356361433863e-04,4.18910680018598213791e-02,1795899804798035);
CREATE TABLE nst_run (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	uid CHAR(26) NOT NULL, 
	number INTEGER, 
	kind VARCHAR(16) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	parent_id INTEGER, 
	name TEXT NOT NULL, 
	seed INTEGER NOT NULL, 
	config JSON NOT NULL, 
	environment_id INTEGER NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	born TEXT, 
	started_us INTEGER NOT NULL, 
	ended_us INTEGER, 
	deleted_us INTEGER, 
	error TEXT, 
	CONSTRAINT uq_nst_run_uid UNIQUE (uid), 
	CONSTRAINT uq_nst_run_number UNIQUE (number), 
	CONSTRAINT ck_nst_run_kind CHECK (kind IN ('search', 'trial', 'retrain', 'federated', 'train', 'eval', 'export')), 
	CONSTRAINT ck_nst_run_state CHECK (state IN ('running', 'completed', 'pruned', 'failed', 'interrupted')), 
	CONSTRAINT fk_nst_run_experiment_id FOREIGN KEY(experiment_id) REFERENCES nst_experiment (id), 
	CONSTRAINT fk_nst_run_parent_id FOREIGN KEY(parent_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_run_environment_id FOREIGN KEY(environment_id) REFERENCES nst_environment (id)
);
INSERT INTO "nst_run" VALUES(1,'01M8HZGJ57HEDW3RH22XRTNS83',1,'search','completed',1,NULL,'digits',0,'{"data":"digits","target":null,"trials":3,"seed":0,"space":"mlp","strategy":"tpe","epochs":3,"device":"cpu"}',1,'vm',16374,'e82d386b-9e49-4aec-8475-13116a4a749a/2404096',1795899803817220,1795899804199291,NULL,NULL);
INSERT INTO "nst_run" VALUES(2,'01M8HZGJ9JQTBJZDDS03HKHKTX',NULL,'trial','completed',1,1,'digits',8867601057144543979,'{}',1,'vm',16374,'e82d386b-9e49-4aec-8475-13116a4a749a/2404096',1795899803955026,1795899803981859,NULL,NULL);
INSERT INTO "nst_run" VALUES(3,'01M8HZGJBAT8K7G8YF5944RTG1',NULL,'trial','completed',1,1,'digits',357969636515125329,'{}',1,'vm',16374,'e82d386b-9e49-4aec-8475-13116a4a749a/2404096',1795899804011176,1795899804050300,NULL,NULL);
INSERT INTO "nst_run" VALUES(4,'01M8HZGJD8HXT52AERC432Z7WM',NULL,'trial','completed',1,1,'digits',1134459820640780124,'{}',1,'vm',16374,'e82d386b-9e49-4aec-8475-13116a4a749a/2404096',1795899804072805,1795899804119430,NULL,NULL);
INSERT INTO "nst_run" VALUES(5,'01M8HZGJF5X7Z013Y7Z6MKJVSV',NULL,'retrain','completed',1,1,'digits',2548299153476258974,'{"trial":"01M8HZGJBAT8K7G8YF5944RTG1"}',1,'vm',16374,'e82d386b-9e49-4aec-8475-13116a4a749a/2404096',1795899804134009,1795899804187864,NULL,NULL);
INSERT INTO "nst_run" VALUES(6,'01M8HZGK1C43HVK5TBRWJKX3ZQ',2,'federated','completed',1,NULL,'digits',0,'{"data":"digits","target":null,"clients":3,"rounds":2,"seed":0,"split_seed":0,"alpha":0.5,"scheme":"plain","bits":8,"epsilon":null,"delta":1e-05,"clip":1.0,"masked":false,"epochs":2,"workers":2}',1,'vm',16374,'e82d386b-9e49-4aec-8475-13116a4a749a/2404096',1795899804716821,1795899804884853,NULL,NULL);
INSERT INTO "nst_run" VALUES(7,'01M8HZGK7809Q87GAJ19CHXDGX',3,'search','failed',1,NULL,'left',1,'{"epochs":1,"trials":1}',1,'vm',16374,'e82d386b-9e49-4aec-8475-13116a4a749a/2404096',1795899804905337,1795899804919288,NULL,'boom');
CREATE TABLE nst_run_artifact (
	run_id INTEGER NOT NULL, 
	role TEXT NOT NULL, 
	name TEXT NOT NULL, 
	artifact_id INTEGER NOT NULL, 
	CONSTRAINT pk_nst_run_artifact PRIMARY KEY (run_id, role, name), 
	CONSTRAINT fk_nst_run_artifact_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_run_artifact_artifact_id FOREIGN KEY(artifact_id) REFERENCES nst_artifact (id)
);
INSERT INTO "nst_run_artifact" VALUES(5,'model','model.json',1);
INSERT INTO "nst_run_artifact" VALUES(5,'model','weights.safetensors',2);
INSERT INTO "nst_run_artifact" VALUES(1,'model','model.json',1);
INSERT INTO "nst_run_artifact" VALUES(1,'model','weights.safetensors',2);
INSERT INTO "nst_run_artifact" VALUES(6,'model','model.json',3);
INSERT INTO "nst_run_artifact" VALUES(6,'model','weights.safetensors',4);
CREATE TABLE nst_run_dataset (
	run_id INTEGER NOT NULL, 
	role TEXT NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	CONSTRAINT pk_nst_run_dataset PRIMARY KEY (run_id, role), 
	CONSTRAINT fk_nst_run_dataset_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_run_dataset_dataset_id FOREIGN KEY(dataset_id) REFERENCES nst_dataset (id)
);
INSERT INTO "nst_run_dataset" VALUES(1,'data',1);
INSERT INTO "nst_run_dataset" VALUES(6,'data',1);
INSERT INTO "nst_run_dataset" VALUES(6,'site/site-1',2);
INSERT INTO "nst_run_dataset" VALUES(6,'site/site-2',3);
INSERT INTO "nst_run_dataset" VALUES(6,'site/site-3',4);
INSERT INTO "nst_run_dataset" VALUES(7,'data',5);
CREATE TABLE nst_search (
	run_id INTEGER NOT NULL, 
	space TEXT NOT NULL, 
	space_sha256 CHAR(64) NOT NULL, 
	sampler TEXT NOT NULL, 
	pruner TEXT NOT NULL, 
	objectives JSON NOT NULL, 
	trials INTEGER NOT NULL, 
	study_name TEXT NOT NULL, 
	CONSTRAINT pk_nst_search PRIMARY KEY (run_id), 
	CONSTRAINT fk_nst_search_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT uq_nst_search_study_name UNIQUE (study_name)
);
INSERT INTO "nst_search" VALUES(1,'mlp','a24c686daf63e316321f5327afa3c982f2807db40d25802e3e47e4fe89a440f5','tpe','median','[["val_accuracy","maximize"]]',3,'nasturtium-01M8HZGJ57HEDW3RH22XRTNS83');
INSERT INTO "nst_search" VALUES(7,'mlp','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd','tpe','median','[["val_accuracy","maximize"]]',1,'nasturtium-01M8HZGK7809Q87GAJ19CHXDGX');
CREATE TABLE nst_system_point (
	run_id INTEGER NOT NULL, 
	name_id INTEGER NOT NULL, 
	at_ms INTEGER NOT NULL, 
	value DOUBLE, 
	CONSTRAINT pk_nst_system_point PRIMARY KEY (run_id, name_id, at_ms), 
	CONSTRAINT fk_nst_system_point_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_system_point_name_id FOREIGN KEY(name_id) REFERENCES nst_name (id)
)
 WITHOUT ROWID

;
CREATE TABLE nst_tag (
	run_id INTEGER NOT NULL, 
	name_id INTEGER NOT NULL, 
	value TEXT NOT NULL, 
	edited_us INTEGER NOT NULL, 
	CONSTRAINT pk_nst_tag PRIMARY KEY (run_id, name_id), 
	CONSTRAINT fk_nst_tag_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_tag_name_id FOREIGN KEY(name_id) REFERENCES nst_name (id)
)
 WITHOUT ROWID

;
CREATE TABLE nst_trial (
	run_id INTEGER NOT NULL, 
	search_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	architecture_id INTEGER NOT NULL, 
	hyperparameters JSON NOT NULL, 
	optuna_number INTEGER, 
	CONSTRAINT pk_nst_trial PRIMARY KEY (run_id), 
	CONSTRAINT uq_nst_trial_search_id_number_attempt UNIQUE (search_id, number, attempt), 
	CONSTRAINT fk_nst_trial_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_trial_search_id FOREIGN KEY(search_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_trial_architecture_id FOREIGN KEY(architecture_id) REFERENCES nst_architecture (id)
);
INSERT INTO "nst_trial" VALUES(2,1,0,1,1,'{"learning_rate":0.003273806395270013,"weight_decay":0.0004934878148654085}',0);
INSERT INTO "nst_trial" VALUES(3,1,1,1,2,'{"learning_rate":0.0031394020330583836,"weight_decay":0.0011229962371650645}',1);
INSERT INTO "nst_trial" VALUES(4,1,2,1,3,'{"learning_rate":0.005837266097988497,"weight_decay":0.002315843453006136}',2);
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'nasturtium-01M8HZGJ57HEDW3RH22XRTNS83');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,6.94214876033057870508e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,2,1,8.95316804407713551228e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,3,1,7.30027548209366439202e-01,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'architecture/hidden/count',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(2,1,'architecture/hidden/0/width',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(3,1,'architecture/hidden/0/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(4,1,'architecture/hidden/1/width',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(5,1,'architecture/hidden/1/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(6,1,'architecture/hidden/2/width',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(7,1,'architecture/hidden/2/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(8,1,'architecture/hidden/3/width',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(9,1,'architecture/hidden/3/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(10,1,'architecture/activation',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO "trial_params" VALUES(11,1,'architecture/normalisation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO "trial_params" VALUES(12,1,'architecture/dropout',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}');
INSERT INTO "trial_params" VALUES(13,1,'training/learning_rate',3.27380639527001309971e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(14,1,'training/weight_decay',4.93487814865408466573e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(15,2,'architecture/hidden/count',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(16,2,'architecture/hidden/0/width',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(17,2,'architecture/hidden/0/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(18,2,'architecture/hidden/1/width',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(19,2,'architecture/hidden/1/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(20,2,'architecture/hidden/2/width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(21,2,'architecture/hidden/2/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(22,2,'architecture/hidden/3/width',4.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(23,2,'architecture/hidden/3/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(24,2,'architecture/activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO "trial_params" VALUES(25,2,'architecture/normalisation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO "trial_params" VALUES(26,2,'architecture/dropout',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}');
INSERT INTO "trial_params" VALUES(27,2,'training/learning_rate',3.1394020330583836259e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(28,2,'training/weight_decay',1.12299623716506451719e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(29,3,'architecture/hidden/count',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(30,3,'architecture/hidden/0/width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(31,3,'architecture/hidden/0/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(32,3,'architecture/hidden/1/width',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(33,3,'architecture/hidden/1/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(34,3,'architecture/hidden/2/width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(35,3,'architecture/hidden/2/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(36,3,'architecture/hidden/3/width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(37,3,'architecture/hidden/3/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(38,3,'architecture/activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO "trial_params" VALUES(39,3,'architecture/normalisation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO "trial_params" VALUES(40,3,'architecture/dropout',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1, 0.3]}}');
INSERT INTO "trial_params" VALUES(41,3,'training/learning_rate',5.8372660979884973334e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(42,3,'training/weight_decay',2.31584345300613579643e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.859504132231405,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,9.42148760330578483035e-01,'FINITE');
INSERT INTO "trial_values" VALUES(3,3,0,8.09917355371900793414e-01,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-28 21:03:23.929391','2026-11-28 21:03:23.986828');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-28 21:03:23.994042','2026-11-28 21:03:24.053971');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-28 21:03:24.058951','2026-11-28 21:03:24.123041');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX uq_nst_experiment_name ON nst_experiment (name) WHERE deleted_us IS NULL;
CREATE INDEX ix_nst_lineage_target_kind_target_id ON nst_lineage (target_kind, target_id);
CREATE INDEX ix_nst_run_experiment_id ON nst_run (experiment_id);
CREATE INDEX ix_nst_run_parent_id ON nst_run (parent_id);
CREATE INDEX ix_nst_run_deleted_us ON nst_run (deleted_us) WHERE deleted_us IS NOT NULL;
CREATE INDEX ix_nst_run_kind_started_us ON nst_run (kind, started_us);
CREATE INDEX ix_nst_run_dataset_dataset_id ON nst_run_dataset (dataset_id);
CREATE INDEX ix_nst_trial_architecture_id ON nst_trial (architecture_id);
CREATE INDEX ix_nst_param_name_id_number_run_id ON nst_param (name_id, number, run_id);
CREATE INDEX ix_nst_param_name_id_text_run_id ON nst_param (name_id, text, run_id);
CREATE INDEX ix_nst_tag_name_id_value_run_id ON nst_tag (name_id, value, run_id);
CREATE INDEX ix_nst_note_run_id ON nst_note (run_id);
CREATE INDEX ix_nst_metric_name_id_value_run_id ON nst_metric (name_id, value, run_id);
CREATE INDEX ix_nst_metric_name_id_max_run_id ON nst_metric (name_id, max, run_id);
CREATE INDEX ix_nst_metric_name_id_min_run_id ON nst_metric (name_id, min, run_id);
CREATE INDEX ix_nst_event_run_id ON nst_event (run_id);
CREATE INDEX ix_nst_run_artifact_artifact_id ON nst_run_artifact (artifact_id);
CREATE INDEX ix_nst_model_version_run_id ON nst_model_version (run_id);
CREATE INDEX ix_nst_model_version_artifact_id ON nst_model_version (artifact_id);
CREATE INDEX ix_nst_alias_version_id ON nst_alias (version_id);
CREATE INDEX ix_nst_deployment_version_id ON nst_deployment (version_id);
CREATE INDEX ix_nst_federation_model_run_id ON nst_federation (model_run_id);
CREATE INDEX ix_nst_contribution_node_id_run_id_round ON nst_contribution (node_id, run_id, round);
CREATE INDEX ix_nst_ceremony_run_id ON nst_ceremony (run_id);
CREATE INDEX ix_nst_ledger_subject ON nst_ledger (subject);
CREATE INDEX ix_nst_ledger_run_uid ON nst_ledger (run_uid);
CREATE TRIGGER nst_ledger_refuses_update BEFORE UPDATE ON nst_ledger  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER nst_ledger_refuses_delete BEFORE DELETE ON nst_ledger  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER nst_ledger_refuses_insert BEFORE INSERT ON nst_ledger WHEN EXISTS (SELECT 1 FROM nst_ledger WHERE sequence = NEW.sequence OR hash = NEW.hash) BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('nst_run',7);
INSERT INTO "sqlite_sequence" VALUES('nst_event',18);
COMMIT;
