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
INSERT INTO "nst_alembic_version" VALUES('0003');
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
INSERT INTO "nst_architecture" VALUES(1,'0bdfa7ef2b4dc0574eea731960e56e49ca60ebe27c3f1556b5f17f0367f7c6b3','mlp','{"hidden/count":1,"hidden/0/residual/skip":false,"hidden/0/residual/linear/out_features":32,"normalisation":"layer_norm","activation":"silu","dropout":"0.1"}','{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"linear","out_features":32},{"kind":"layer_norm"},{"kind":"activation","function":"silu"},{"kind":"dropout","rate":0.1},{"kind":"linear","out_features":10}]}',2474,2432);
INSERT INTO "nst_architecture" VALUES(2,'19e12b49b232aaa8f1cb50e9ed3809e4fb67588438a21705dd1d54d36912a0d9','mlp','{"hidden/count":2,"hidden/0/residual/skip":true,"hidden/0/residual/linear/out_features":16,"normalisation":"none","activation":"gelu","dropout":"0.3","hidden/1/residual/skip":true,"hidden/1/residual/linear/out_features":128}','{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":16}],"shortcut":[{"kind":"linear","out_features":16,"bias":false}]},{"kind":"activation","function":"gelu"},{"kind":"dropout","rate":0.3},{"kind":"residual","body":[{"kind":"linear","out_features":128}],"shortcut":[{"kind":"linear","out_features":128,"bias":false}]},{"kind":"activation","function":"gelu"},{"kind":"dropout","rate":0.3},{"kind":"linear","out_features":10}]}',7578,7424);
INSERT INTO "nst_architecture" VALUES(3,'9f58c11a2061456c6047457ec62af81f5212debd81fc121202b5e4c77534177c','mlp','{"hidden/count":2,"hidden/0/residual/skip":true,"hidden/0/residual/linear/out_features":128,"normalisation":"batch_norm","activation":"silu","dropout":"0","hidden/1/residual/skip":false,"hidden/1/residual/linear/out_features":32}','{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":128},{"kind":"batch_norm"}],"shortcut":[{"kind":"linear","out_features":128,"bias":false}]},{"kind":"activation","function":"silu"},{"kind":"linear","out_features":32},{"kind":"batch_norm"},{"kind":"activation","function":"silu"},{"kind":"linear","out_features":10}]}',21290,20960);
CREATE TABLE nst_artifact (
	id INTEGER NOT NULL, 
	sha256 CHAR(64) NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	media_type TEXT NOT NULL, 
	created_us INTEGER NOT NULL, 
	CONSTRAINT pk_nst_artifact PRIMARY KEY (id), 
	CONSTRAINT uq_nst_artifact_sha256 UNIQUE (sha256)
);
INSERT INTO "nst_artifact" VALUES(1,'c7eeea6d59ef15db75f6690f999463379b18f10beb4b9b5a700900454ae310e3',14648,'application/octet-stream',1795911528097787);
INSERT INTO "nst_artifact" VALUES(2,'210838976da45e632fd135ac48f84077e6fd96b9d575a57e427975bd86cbf70d',14648,'application/octet-stream',1795911528201609);
INSERT INTO "nst_artifact" VALUES(3,'774b4b343d92d41df2e080ad842d20608239b333b1a4cfdde4ba9400db399cb9',14648,'application/octet-stream',1795911528265696);
INSERT INTO "nst_artifact" VALUES(4,'9675f44abc26d742de3cbc438be74de233f728d411bc1e9f2d13171b587040a8',14648,'application/octet-stream',1795911528329796);
INSERT INTO "nst_artifact" VALUES(5,'ac7a4b6834737a1b217e45d7663c6fc6aa70f02702071f100664d10e4a766683',2631,'application/json',1795911528445633);
INSERT INTO "nst_artifact" VALUES(6,'b0c51313d7624f85d01b47b491edee28257a7c8af5d7ce59ac286bbd33934349',87720,'application/vnd.safetensors',1795911528446560);
INSERT INTO "nst_artifact" VALUES(7,'91ef31faed1d14ae0475c21f53cfc385c3d5f8ad6028252c4b4bc4231a7c98b7',2631,'application/json',1795911528565819);
INSERT INTO "nst_artifact" VALUES(8,'5fc51507adeee28381664bad03f617bb6bd0f7d4c8a1a5695629f07adb0ef8cb',87720,'application/vnd.safetensors',1795911528566904);
INSERT INTO "nst_artifact" VALUES(9,'f5216bc9430145103ea806683ca71aef5f13e3500a3e4dddf56257b116e492c2',5736,'application/json',1795911530901682);
INSERT INTO "nst_artifact" VALUES(10,'803d1f890283d64aa0f2a1f4d0d6e75770bcf1d939b9951532191b40fb8c057e',3063,'application/json',1795911530957601);
INSERT INTO "nst_artifact" VALUES(11,'79ecbcfe8784613652c50ada27cc8b641f6344f9da352e296d2faee030004dba',2616,'application/json',1795911532349797);
INSERT INTO "nst_artifact" VALUES(12,'4dfcb43e028db1498303ae4396ea593b3ed89e2124afee2ff74af4b2724b0200',87720,'application/vnd.safetensors',1795911532351925);
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
INSERT INTO "nst_contribution" VALUES(13,1,1,'accepted',NULL,23170,1841,6.88543220021529123187e-02,NULL,4.92208229989046230912e-02,0.0173703350010328,NULL,NULL);
INSERT INTO "nst_contribution" VALUES(13,1,2,'accepted',NULL,23170,1841,6.10039289967971853911e-02,NULL,5.68585199944209307432e-02,9.35574003960937261581e-04,NULL,NULL);
INSERT INTO "nst_contribution" VALUES(13,1,3,'accepted',NULL,23170,1841,5.16513679976924322545e-02,NULL,4.38400530038052238523e-02,5.88964999769814312458e-03,NULL,NULL);
INSERT INTO "nst_contribution" VALUES(13,2,1,'accepted',NULL,23170,30801,7.54082220009877346456e-02,NULL,7.34669779994874261319e-02,8.72890996106434613466e-04,NULL,NULL);
INSERT INTO "nst_contribution" VALUES(13,2,2,'accepted',NULL,23170,30801,5.06468999956268817186e-02,NULL,4.8768829998152796179e-02,9.56967000092845410108e-04,NULL,NULL);
INSERT INTO "nst_contribution" VALUES(13,2,3,'accepted',NULL,23170,30801,5.77652420033700764179e-02,NULL,3.95771780022187158465e-02,8.95204997505061328411e-04,NULL,NULL);
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
INSERT INTO "nst_event" VALUES(1,1,1795911525186353,'started','{}');
INSERT INTO "nst_event" VALUES(2,2,1795911525551340,'started','{}');
INSERT INTO "nst_event" VALUES(3,2,1795911526500167,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(4,3,1795911526505541,'started','{}');
INSERT INTO "nst_event" VALUES(5,3,1795911526591034,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(6,4,1795911526593962,'started','{}');
INSERT INTO "nst_event" VALUES(7,4,1795911527972344,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(8,5,1795911528029086,'started','{}');
INSERT INTO "nst_event" VALUES(9,5,1795911528117521,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(10,6,1795911528128350,'started','{}');
INSERT INTO "nst_event" VALUES(11,6,1795911528208159,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(12,7,1795911528215840,'started','{}');
INSERT INTO "nst_event" VALUES(13,7,1795911528276594,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(14,8,1795911528280125,'started','{}');
INSERT INTO "nst_event" VALUES(15,8,1795911528336071,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(16,9,1795911528345075,'started','{}');
INSERT INTO "nst_event" VALUES(17,9,1795911528451589,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(18,10,1795911528464759,'started','{}');
INSERT INTO "nst_event" VALUES(19,10,1795911528572224,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(20,11,1795911530767166,'started','{}');
INSERT INTO "nst_event" VALUES(21,11,1795911530914293,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(22,12,1795911530922700,'started','{}');
INSERT INTO "nst_event" VALUES(23,12,1795911530978229,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(24,1,1795911531011860,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(25,13,1795911531799202,'started','{}');
INSERT INTO "nst_event" VALUES(26,13,1795911532032185,'round','{"number":1,"state":"completed","participants":3}');
INSERT INTO "nst_event" VALUES(27,13,1795911532201852,'round','{"number":2,"state":"completed","participants":3}');
INSERT INTO "nst_event" VALUES(28,13,1795911532279607,'round figures','{"number":1}');
INSERT INTO "nst_event" VALUES(29,13,1795911532299194,'round figures','{"number":2}');
INSERT INTO "nst_event" VALUES(30,13,1795911532399035,'ended','{"state":"completed"}');
INSERT INTO "nst_event" VALUES(31,14,1795911532479380,'started','{}');
INSERT INTO "nst_event" VALUES(32,14,1795911532854754,'ended','{"state":"failed"}');
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
INSERT INTO "nst_experiment" VALUES(1,'01M8JAP8SSBTGJ281VX8Y970Q0','default',NULL,1795911525177941,NULL);
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
INSERT INTO "nst_federation" VALUES(13,3,2,'fedavg','plain',0.5,NULL,NULL,NULL,1,'{"format":"nasturtium.model-spec","version":1,"input_shape":[1,8,8],"layers":[{"kind":"flatten"},{"kind":"residual","body":[{"kind":"linear","out_features":128},{"kind":"batch_norm"}],"shortcut":[{"kind":"linear","out_features":128,"bias":false}]},{"kind":"activation","function":"silu"},{"kind":"linear","out_features":32},{"kind":"batch_norm"},{"kind":"activation","function":"silu"},{"kind":"linear","out_features":10}]}');
CREATE TABLE nst_lease (
	search_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	job JSON, 
	state VARCHAR(16) NOT NULL, 
	token CHAR(26), 
	worker TEXT, 
	offered_us INTEGER NOT NULL, 
	leased_us INTEGER, 
	heartbeat_us INTEGER, 
	expires_us INTEGER, 
	report JSON, 
	CONSTRAINT pk_nst_lease PRIMARY KEY (search_id, number), 
	CONSTRAINT fk_nst_lease_search_id FOREIGN KEY(search_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_lease_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT ck_nst_lease_state CHECK (state IN ('open', 'leased', 'reported', 'lost'))
);
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
INSERT INTO "nst_ledger" VALUES(1,'spend','171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666','01M8JAPF8BWXV0EKTFE2BGZZ7R','{"delta":0.0,"details":{"composition":"basic: runs are added up, each in its own unit of privacy"},"epsilon":"inf","mechanism":"exact sum of updates","round":1,"total":{"delta":0.0,"epsilon":"inf","releases":1}}',1795911531861327,'0000000000000000000000000000000000000000000000000000000000000000','dc4cc009fb6ae8235ec8bce197d09c6db711e0e50e02d959fd32e01fbea61bf1','cf2875e77521cb8d3ab0e510bf6bd30a552195619c226da09d70462f57257456','87bac01e6ad8390d90299c993e1832fdfa66decd8fec65a2c2a69ea6e5c660999b517cd95db2fdbbfb00144dd41f2475b1521228849c07b4aba9bd4e557c7e05');
INSERT INTO "nst_ledger" VALUES(2,'spend','171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666','01M8JAPF8BWXV0EKTFE2BGZZ7R','{"delta":0.0,"details":{"composition":"basic: runs are added up, each in its own unit of privacy"},"epsilon":"inf","mechanism":"exact sum of updates","round":2,"total":{"delta":0.0,"epsilon":"inf","releases":2}}',1795911532046742,'f5bf9d329099af20f5602f957e638a5bb09759715ace63323cb3ade746b1c3af','4b5e9979698a561a6c91b744038a2eff8e159d3af5792f018c34e6bc9968c367','cf2875e77521cb8d3ab0e510bf6bd30a552195619c226da09d70462f57257456','b0c991a90553129b04998918605328d40b4b8131dfd41bc6ff70aa621806ae094ef4f2cfeac0138cfdc716ea364a4f52933e5f36cd7150c30cd6fc616bb55e00');
INSERT INTO "nst_ledger" VALUES(3,'spend','171e544bca9dafb41745566cd3fb8341fc5de86ddd6b0fa1b44fc741ee915666','01M8JAPF8BWXV0EKTFE2BGZZ7R','{"delta":0.0,"details":{"composition":"basic: runs are added up, each in its own unit of privacy"},"epsilon":"inf","mechanism":"exact counts","round":3,"total":{"delta":0.0,"epsilon":"inf","releases":3}}',1795911532210837,'985ec0487cd2863db915407c08e5801ff293f08f6848bccb20776b49fd5086fd','853aa664925cfd493fa444a7c08c701b5c1da234a56b9ed17ac082923a40d896','cf2875e77521cb8d3ab0e510bf6bd30a552195619c226da09d70462f57257456','9db1ffc7d420e5d064c850fff97b0a6d28c77efa7896dd7426866b69084facf816ef1880f47a87a6ba7119d9bcefc164749cf5463e4ede34c60d4b4ec2329809');
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
INSERT INTO "nst_lineage" VALUES('run',5,'saved','artifact',1);
INSERT INTO "nst_lineage" VALUES('run',6,'saved','artifact',2);
INSERT INTO "nst_lineage" VALUES('run',7,'saved','artifact',3);
INSERT INTO "nst_lineage" VALUES('run',8,'saved','artifact',4);
INSERT INTO "nst_lineage" VALUES('run',9,'saved','artifact',5);
INSERT INTO "nst_lineage" VALUES('run',1,'saved','artifact',6);
INSERT INTO "nst_lineage" VALUES('run',9,'saved','artifact',6);
INSERT INTO "nst_lineage" VALUES('run',12,'saved','artifact',6);
INSERT INTO "nst_lineage" VALUES('run',10,'saved','artifact',7);
INSERT INTO "nst_lineage" VALUES('run',10,'saved','artifact',8);
INSERT INTO "nst_lineage" VALUES('run',11,'saved','artifact',9);
INSERT INTO "nst_lineage" VALUES('run',1,'saved','artifact',10);
INSERT INTO "nst_lineage" VALUES('run',12,'saved','artifact',10);
INSERT INTO "nst_lineage" VALUES('run',13,'saved','artifact',11);
INSERT INTO "nst_lineage" VALUES('run',13,'saved','artifact',12);
INSERT INTO "nst_lineage" VALUES('dataset',1,'trained on by','run',1);
INSERT INTO "nst_lineage" VALUES('architecture',1,'evaluated by','run',2);
INSERT INTO "nst_lineage" VALUES('run',1,'proposed','run',2);
INSERT INTO "nst_lineage" VALUES('architecture',2,'evaluated by','run',3);
INSERT INTO "nst_lineage" VALUES('run',1,'proposed','run',3);
INSERT INTO "nst_lineage" VALUES('architecture',3,'evaluated by','run',4);
INSERT INTO "nst_lineage" VALUES('run',1,'proposed','run',4);
INSERT INTO "nst_lineage" VALUES('run',4,'retrained as','run',5);
INSERT INTO "nst_lineage" VALUES('run',4,'retrained as','run',6);
INSERT INTO "nst_lineage" VALUES('run',3,'retrained as','run',7);
INSERT INTO "nst_lineage" VALUES('run',3,'retrained as','run',8);
INSERT INTO "nst_lineage" VALUES('run',4,'retrained as','run',9);
INSERT INTO "nst_lineage" VALUES('run',4,'retrained as','run',10);
INSERT INTO "nst_lineage" VALUES('run',1,'evaluated as','run',11);
INSERT INTO "nst_lineage" VALUES('run',4,'retrained as','run',12);
INSERT INTO "nst_lineage" VALUES('dataset',1,'trained on by','run',13);
INSERT INTO "nst_lineage" VALUES('dataset',2,'trained on at a site by','run',13);
INSERT INTO "nst_lineage" VALUES('dataset',3,'trained on at a site by','run',13);
INSERT INTO "nst_lineage" VALUES('dataset',4,'trained on at a site by','run',13);
INSERT INTO "nst_lineage" VALUES('run',12,'network of','run',13);
INSERT INTO "nst_lineage" VALUES('dataset',5,'trained on by','run',14);
INSERT INTO "nst_lineage" VALUES('artifact',6,'published as','version',1);
INSERT INTO "nst_lineage" VALUES('artifact',12,'published as','version',2);
CREATE TABLE nst_meta (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_nst_meta PRIMARY KEY ("key")
);
INSERT INTO "nst_meta" VALUES('instance','01M8JAP8QX1H03SA737E05J9RT');
INSERT INTO "nst_meta" VALUES('created_us','1795911525118026');
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
INSERT INTO "nst_metric" VALUES(1,32,9.20110192837465534765e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,33,0.485736830010093,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,38,20960.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,40,21290.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,44,9.94545013284434231692e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,45,0.919434260240813,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,59,9.58791208791208826589e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,60,9.97179757481119088957e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,61,9.58747093349346490853e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(1,62,0.35940350762983,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(2,31,2.0456579809991,0,3,1,3,2.0456579809991,2.0456579809991,3,2.2753373778869057098e+00,1);
INSERT INTO "nst_metric" VALUES(2,32,3.80165289256198357659e-01,1,3,1,3,3.80165289256198357659e-01,3.05785123966942129491e-01,1,3.80165289256198357659e-01,3);
INSERT INTO "nst_metric" VALUES(2,33,1.96518790023700118396e+00,1,3,1,3,1.96518790023700118396e+00,1.96518790023700118396e+00,3,2.1233807832639546298e+00,1);
INSERT INTO "nst_metric" VALUES(2,34,3.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(2,35,0.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(2,38,2432.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(2,39,9896.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(2,40,2474.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(2,41,512.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(2,42,3.80165289256198357659e-01,0,2,1,2,3.80165289256198357659e-01,3.05785123966942129491e-01,1,3.80165289256198357659e-01,2);
INSERT INTO "nst_metric" VALUES(2,43,6922.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(2,44,7.40560155029467814813e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(2,45,3.15512668429402953762e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(3,31,2.03333009069211,0,3,1,3,2.03333009069211,2.03333009069211,3,3.08389767664615233044e+00,1);
INSERT INTO "nst_metric" VALUES(3,32,4.24242424242424254199e-01,1,3,1,3,4.24242424242424254199e-01,3.00275482093663892424e-01,1,4.24242424242424254199e-01,3);
INSERT INTO "nst_metric" VALUES(3,33,1.81652214212016471783e+00,1,3,1,3,1.81652214212016471783e+00,1.81652214212016471783e+00,3,2.003967857155687593e+00,1);
INSERT INTO "nst_metric" VALUES(3,34,3.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(3,35,0.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(3,38,7424.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(3,39,30312.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(3,40,7578.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(3,41,1536.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(3,42,4.24242424242424254199e-01,0,2,1,2,4.24242424242424254199e-01,3.00275482093663892424e-01,1,4.24242424242424254199e-01,2);
INSERT INTO "nst_metric" VALUES(3,43,14090.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(3,44,7.5655987957937520516e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(3,45,3.58289255957802144081e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(4,31,5.76181333978599496958e-01,0,3,1,3,5.76181333978599496958e-01,5.76181333978599496958e-01,3,1.50891294936153386174e+00,1);
INSERT INTO "nst_metric" VALUES(4,32,0.928374655647383,1,3,1,3,0.928374655647383,8.15426997245179085993e-01,1,0.928374655647383,3);
INSERT INTO "nst_metric" VALUES(4,33,5.21160493902867449911e-01,1,3,1,3,5.21160493902867449911e-01,5.21160493902867449911e-01,3,0.799093587369347,1);
INSERT INTO "nst_metric" VALUES(4,34,3.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(4,35,320.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(4,38,20960.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(4,39,86440.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(4,40,21290.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(4,41,1536.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(4,42,0.928374655647383,0,2,1,2,0.928374655647383,8.15426997245179085993e-01,1,0.928374655647383,2);
INSERT INTO "nst_metric" VALUES(4,43,41866.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(4,44,9.94379697665695116981e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(4,45,9.26997150847502893178e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(5,31,5.60022004519667548905e-01,0,3,1,3,5.60022004519667548905e-01,5.60022004519667548905e-01,3,1.48764879948624950678e+00,1);
INSERT INTO "nst_metric" VALUES(5,32,9.20110192837465534765e-01,1,3,1,3,9.20110192837465534765e-01,8.07162534435261758147e-01,1,9.20110192837465534765e-01,3);
INSERT INTO "nst_metric" VALUES(5,33,5.07015195288616715707e-01,1,3,1,3,5.07015195288616715707e-01,5.07015195288616715707e-01,3,7.830311461279576557e-01,1);
INSERT INTO "nst_metric" VALUES(5,34,3.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(5,44,9.92608404501246432971e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(5,45,9.19575266629891308056e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(6,31,0.520358292855949,0,3,1,3,0.520358292855949,0.520358292855949,3,1.38383391482807760475e+00,1);
INSERT INTO "nst_metric" VALUES(6,32,9.20110192837465534765e-01,1,3,1,3,9.20110192837465534765e-01,8.48484848484848508398e-01,1,9.20110192837465534765e-01,3);
INSERT INTO "nst_metric" VALUES(6,33,4.64458464731569264927e-01,1,3,1,3,4.64458464731569264927e-01,4.64458464731569264927e-01,3,7.13280026768215336119e-01,1);
INSERT INTO "nst_metric" VALUES(6,34,3.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(6,44,9.96481622067622141436e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(6,45,9.19293253851734548653e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(7,31,1.96669146190179833233e+00,0,3,1,3,1.96669146190179833233e+00,1.96669146190179833233e+00,3,2.91354024922736343228e+00,1);
INSERT INTO "nst_metric" VALUES(7,32,3.22314049586776840694e-01,1,3,1,3,3.22314049586776840694e-01,2.25895316804407719768e-01,1,3.22314049586776840694e-01,3);
INSERT INTO "nst_metric" VALUES(7,33,1.71862970263589787123e+00,1,3,1,3,1.71862970263589787123e+00,1.71862970263589787123e+00,3,2.02397599149561635556e+00,1);
INSERT INTO "nst_metric" VALUES(7,34,3.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(7,44,7.29341145218522113324e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(7,45,2.95806982346022484531e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(8,31,2.10652883030543813802e+00,0,3,1,3,2.10652883030543813802e+00,2.10652883030543813802e+00,3,2.97384958490033035616e+00,1);
INSERT INTO "nst_metric" VALUES(8,32,3.00275482093663892424e-01,1,3,1,3,3.00275482093663892424e-01,0.162534435261708,1,3.00275482093663892424e-01,3);
INSERT INTO "nst_metric" VALUES(8,33,1.89479487056630047092e+00,1,3,1,3,1.89479487056630047092e+00,1.89479487056630047092e+00,3,2.15187239238122263174e+00,1);
INSERT INTO "nst_metric" VALUES(8,34,3.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(8,44,6.83161221267404750179e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(8,45,0.267623112205701,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(9,31,4.34310619471710401828e-01,0,3,1,3,4.34310619471710401828e-01,4.34310619471710401828e-01,3,1.35640630922530469604e+00,1);
INSERT INTO "nst_metric" VALUES(9,38,20960.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(9,40,21290.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(10,31,4.23343254171379468342e-01,0,3,1,3,4.23343254171379468342e-01,4.23343254171379468342e-01,3,1.28407789337327238321e+00,1);
INSERT INTO "nst_metric" VALUES(10,38,20960.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(10,40,21290.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(11,59,9.58791208791208826589e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(11,60,9.97179757481119088957e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(11,61,9.58747093349346490853e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(11,62,0.35940350762983,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(12,32,9.20110192837465534765e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(12,33,0.485736830010093,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(12,38,20960.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(12,40,21290.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(12,44,9.94545013284434231692e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(12,45,0.919434260240813,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(12,59,9.58791208791208826589e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(12,60,9.97179757481119088957e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(12,61,9.58747093349346490853e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(12,62,0.35940350762983,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(13,32,9.19860627177700340695e-01,1,2,1,2,9.19860627177700340695e-01,8.04878048780487853619e-01,1,9.19860627177700340695e-01,2);
INSERT INTO "nst_metric" VALUES(13,33,0.607,0,2,1,2,0.607,0.607,2,1.023,1);
INSERT INTO "nst_metric" VALUES(13,38,20960.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(13,40,21290.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(13,59,9.25824175824175865656e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(13,62,5.81302344799041748046e-01,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(13,74,282732.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(13,75,208530.0,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(14,33,NULL,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nst_metric" VALUES(14,76,-9e999,0,4,1,5,-9e999,-9e999,5,9e999,2);
INSERT INTO "nst_metric" VALUES(14,77,9e999,1,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO "nst_metric_point" VALUES(2,31,1,2.2753373778869057098e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(2,31,2,2.11358835986841508969e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(2,31,3,2.0456579809991,NULL);
INSERT INTO "nst_metric_point" VALUES(2,32,1,3.05785123966942129491e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(2,32,2,3.60881542699724500167e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(2,32,3,3.80165289256198357659e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(2,33,1,2.1233807832639546298e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(2,33,2,1.9987173505260447115e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(2,33,3,1.96518790023700118396e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(2,42,1,3.05785123966942129491e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(2,42,2,3.80165289256198357659e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(3,31,1,3.08389767664615233044e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(3,31,2,2.1594795449871884152e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(3,31,3,2.03333009069211,NULL);
INSERT INTO "nst_metric_point" VALUES(3,32,1,3.00275482093663892424e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(3,32,2,3.66391184573002737234e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(3,32,3,4.24242424242424254199e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(3,33,1,2.003967857155687593e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(3,33,2,1.84330406250205824925e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(3,33,3,1.81652214212016471783e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(3,42,1,3.00275482093663892424e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(3,42,2,4.24242424242424254199e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(4,31,1,1.50891294936153386174e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(4,31,2,7.19039998656121337461e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(4,31,3,5.76181333978599496958e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(4,32,1,8.15426997245179085993e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(4,32,2,9.11845730027548206919e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(4,32,3,0.928374655647383,NULL);
INSERT INTO "nst_metric_point" VALUES(4,33,1,0.799093587369347,NULL);
INSERT INTO "nst_metric_point" VALUES(4,33,2,5.62037657101694620997e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(4,33,3,5.21160493902867449911e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(4,42,1,8.15426997245179085993e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(4,42,2,0.928374655647383,NULL);
INSERT INTO "nst_metric_point" VALUES(5,31,1,1.48764879948624950678e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(5,31,2,6.96394371206515261363e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(5,31,3,5.60022004519667548905e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(5,32,1,8.07162534435261758147e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(5,32,2,9.0909090909090906063e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(5,32,3,9.20110192837465534765e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(5,33,1,7.830311461279576557e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(5,33,2,5.47318616185953232822e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(5,33,3,5.07015195288616715707e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(6,31,1,1.38383391482807760475e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(6,31,2,6.41720667732096128332e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(6,31,3,0.520358292855949,NULL);
INSERT INTO "nst_metric_point" VALUES(6,32,1,8.48484848484848508398e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(6,32,2,9.11845730027548206919e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(6,32,3,9.20110192837465534765e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(6,33,1,7.13280026768215336119e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(6,33,2,4.91545059808503548293e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(6,33,3,4.64458464731569264927e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(7,31,1,2.91354024922736343228e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(7,31,2,2.11196112877854691447e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(7,31,3,1.96669146190179833233e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(7,32,1,2.25895316804407719768e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(7,32,2,2.89256198347107418289e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(7,32,3,3.22314049586776840694e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(7,33,1,2.02397599149561635556e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(7,33,2,1.81987820264367261557e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(7,33,3,1.71862970263589787123e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(8,31,1,2.97384958490033035616e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(8,31,2,2.21165436807079851533e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(8,31,3,2.10652883030543813802e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(8,32,1,0.162534435261708,NULL);
INSERT INTO "nst_metric_point" VALUES(8,32,2,2.50688705234159758816e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(8,32,3,3.00275482093663892424e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(8,33,1,2.15187239238122263174e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(8,33,2,1.98750730684602383568e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(8,33,3,1.89479487056630047092e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(9,31,1,1.35640630922530469604e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(9,31,2,0.562371776516589,NULL);
INSERT INTO "nst_metric_point" VALUES(9,31,3,4.34310619471710401828e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(10,31,1,1.28407789337327238321e+00,NULL);
INSERT INTO "nst_metric_point" VALUES(10,31,2,5.29426461778482404518e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(10,31,3,4.23343254171379468342e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(13,32,1,8.04878048780487853619e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(13,32,2,9.19860627177700340695e-01,NULL);
INSERT INTO "nst_metric_point" VALUES(13,33,1,1.023,NULL);
INSERT INTO "nst_metric_point" VALUES(13,33,2,0.607,NULL);
INSERT INTO "nst_metric_point" VALUES(14,76,1,NULL,NULL);
INSERT INTO "nst_metric_point" VALUES(14,76,2,9e999,NULL);
INSERT INTO "nst_metric_point" VALUES(14,76,3,-1.5,NULL);
INSERT INTO "nst_metric_point" VALUES(14,76,5,-9e999,NULL);
CREATE TABLE nst_model (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	created_us INTEGER NOT NULL, 
	CONSTRAINT pk_nst_model PRIMARY KEY (id), 
	CONSTRAINT uq_nst_model_name UNIQUE (name)
);
INSERT INTO "nst_model" VALUES(1,'digits',1795911530986374);
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
INSERT INTO "nst_model_version" VALUES(1,1,1,1,6,'{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}',NULL,1795911530986374);
INSERT INTO "nst_model_version" VALUES(2,1,2,13,12,'{"input_shape":[1,8,8],"features":["pixel_0_0","pixel_0_1","pixel_0_2","pixel_0_3","pixel_0_4","pixel_0_5","pixel_0_6","pixel_0_7","pixel_1_0","pixel_1_1","pixel_1_2","pixel_1_3","pixel_1_4","pixel_1_5","pixel_1_6","pixel_1_7","pixel_2_0","pixel_2_1","pixel_2_2","pixel_2_3","pixel_2_4","pixel_2_5","pixel_2_6","pixel_2_7","pixel_3_0","pixel_3_1","pixel_3_2","pixel_3_3","pixel_3_4","pixel_3_5","pixel_3_6","pixel_3_7","pixel_4_0","pixel_4_1","pixel_4_2","pixel_4_3","pixel_4_4","pixel_4_5","pixel_4_6","pixel_4_7","pixel_5_0","pixel_5_1","pixel_5_2","pixel_5_3","pixel_5_4","pixel_5_5","pixel_5_6","pixel_5_7","pixel_6_0","pixel_6_1","pixel_6_2","pixel_6_3","pixel_6_4","pixel_6_5","pixel_6_6","pixel_6_7","pixel_7_0","pixel_7_1","pixel_7_2","pixel_7_3","pixel_7_4","pixel_7_5","pixel_7_6","pixel_7_7"],"classes":["0","1","2","3","4","5","6","7","8","9"]}',NULL,1795911532360267);
CREATE TABLE nst_name (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	CONSTRAINT pk_nst_name PRIMARY KEY (id), 
	CONSTRAINT uq_nst_name_name UNIQUE (name)
);
INSERT INTO "nst_name" VALUES(1,'control');
INSERT INTO "nst_name" VALUES(2,'data');
INSERT INTO "nst_name" VALUES(3,'device');
INSERT INTO "nst_name" VALUES(4,'ensemble');
INSERT INTO "nst_name" VALUES(5,'epochs');
INSERT INTO "nst_name" VALUES(6,'evaluate');
INSERT INTO "nst_name" VALUES(7,'fidelity');
INSERT INTO "nst_name" VALUES(8,'folds');
INSERT INTO "nst_name" VALUES(9,'missing');
INSERT INTO "nst_name" VALUES(10,'repeats');
INSERT INTO "nst_name" VALUES(11,'scheduler');
INSERT INTO "nst_name" VALUES(12,'seed');
INSERT INTO "nst_name" VALUES(13,'space');
INSERT INTO "nst_name" VALUES(14,'strategy');
INSERT INTO "nst_name" VALUES(15,'task');
INSERT INTO "nst_name" VALUES(16,'top');
INSERT INTO "nst_name" VALUES(17,'trials');
INSERT INTO "nst_name" VALUES(18,'workers');
INSERT INTO "nst_name" VALUES(19,'activation');
INSERT INTO "nst_name" VALUES(20,'augmentation');
INSERT INTO "nst_name" VALUES(21,'batch_size');
INSERT INTO "nst_name" VALUES(22,'dropout');
INSERT INTO "nst_name" VALUES(23,'hidden/0/residual/linear/out_features');
INSERT INTO "nst_name" VALUES(24,'hidden/0/residual/skip');
INSERT INTO "nst_name" VALUES(25,'hidden/count');
INSERT INTO "nst_name" VALUES(26,'label_smoothing');
INSERT INTO "nst_name" VALUES(27,'learning_rate');
INSERT INTO "nst_name" VALUES(28,'normalisation');
INSERT INTO "nst_name" VALUES(29,'optimizer');
INSERT INTO "nst_name" VALUES(30,'weight_decay');
INSERT INTO "nst_name" VALUES(31,'train_loss');
INSERT INTO "nst_name" VALUES(32,'val_accuracy');
INSERT INTO "nst_name" VALUES(33,'val_loss');
INSERT INTO "nst_name" VALUES(34,'best_epoch');
INSERT INTO "nst_name" VALUES(35,'buffers');
INSERT INTO "nst_name" VALUES(36,'hidden/1/residual/linear/out_features');
INSERT INTO "nst_name" VALUES(37,'hidden/1/residual/skip');
INSERT INTO "nst_name" VALUES(38,'macs');
INSERT INTO "nst_name" VALUES(39,'model_bytes');
INSERT INTO "nst_name" VALUES(40,'parameters');
INSERT INTO "nst_name" VALUES(41,'peak_activation_bytes');
INSERT INTO "nst_name" VALUES(42,'step/val_accuracy');
INSERT INTO "nst_name" VALUES(43,'upload_bytes');
INSERT INTO "nst_name" VALUES(44,'val_auroc');
INSERT INTO "nst_name" VALUES(45,'val_f1');
INSERT INTO "nst_name" VALUES(46,'member');
INSERT INTO "nst_name" VALUES(47,'phase');
INSERT INTO "nst_name" VALUES(48,'trial');
INSERT INTO "nst_name" VALUES(49,'model.0.run');
INSERT INTO "nst_name" VALUES(50,'model.0.weight');
INSERT INTO "nst_name" VALUES(51,'random search.0');
INSERT INTO "nst_name" VALUES(52,'random search.1');
INSERT INTO "nst_name" VALUES(53,'references.kernel.alpha');
INSERT INTO "nst_name" VALUES(54,'references.kernel.gamma');
INSERT INTO "nst_name" VALUES(55,'references.logistic.c');
INSERT INTO "nst_name" VALUES(56,'references.neighbours.neighbours');
INSERT INTO "nst_name" VALUES(57,'winner.0');
INSERT INTO "nst_name" VALUES(58,'winner.1');
INSERT INTO "nst_name" VALUES(59,'test_accuracy');
INSERT INTO "nst_name" VALUES(60,'test_auroc');
INSERT INTO "nst_name" VALUES(61,'test_f1');
INSERT INTO "nst_name" VALUES(62,'test_loss');
INSERT INTO "nst_name" VALUES(63,'networks.0.run');
INSERT INTO "nst_name" VALUES(64,'networks.0.weight');
INSERT INTO "nst_name" VALUES(65,'alpha');
INSERT INTO "nst_name" VALUES(66,'bits');
INSERT INTO "nst_name" VALUES(67,'clients');
INSERT INTO "nst_name" VALUES(68,'clip');
INSERT INTO "nst_name" VALUES(69,'delta');
INSERT INTO "nst_name" VALUES(70,'masked');
INSERT INTO "nst_name" VALUES(71,'rounds');
INSERT INTO "nst_name" VALUES(72,'scheme');
INSERT INTO "nst_name" VALUES(73,'split_seed');
INSERT INTO "nst_name" VALUES(74,'bytes_down');
INSERT INTO "nst_name" VALUES(75,'bytes_up');
INSERT INTO "nst_name" VALUES(76,'loss');
INSERT INTO "nst_name" VALUES(77,'worst');
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
INSERT INTO "nst_node" VALUES(1,'01M8JAPF99Y46104MEK1JJCDZ0','site-1',NULL,1795911531817762,1795911532195520);
INSERT INTO "nst_node" VALUES(2,'01M8JAPF9J30CYC1SYX699HCCT','site-2',NULL,1795911531826122,1795911532195520);
INSERT INTO "nst_node" VALUES(3,'01M8JAPF9MG8X35MJ17BXARKC4','site-3',NULL,1795911531828140,1795911532195520);
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
INSERT INTO "nst_param" VALUES(1,1,'start',NULL,1);
INSERT INTO "nst_param" VALUES(1,2,'digits',NULL,1);
INSERT INTO "nst_param" VALUES(1,3,'cpu',NULL,1);
INSERT INTO "nst_param" VALUES(1,4,'false',0.0,0);
INSERT INTO "nst_param" VALUES(1,5,'3',3.0,0);
INSERT INTO "nst_param" VALUES(1,6,'training',NULL,1);
INSERT INTO "nst_param" VALUES(1,7,'epochs',NULL,1);
INSERT INTO "nst_param" VALUES(1,8,'auto',NULL,1);
INSERT INTO "nst_param" VALUES(1,9,'refuse',NULL,1);
INSERT INTO "nst_param" VALUES(1,10,'2',2.0,0);
INSERT INTO "nst_param" VALUES(1,11,'asha',NULL,1);
INSERT INTO "nst_param" VALUES(1,12,'0',0.0,0);
INSERT INTO "nst_param" VALUES(1,13,'mlp',NULL,1);
INSERT INTO "nst_param" VALUES(1,14,'predictor',NULL,1);
INSERT INTO "nst_param" VALUES(1,15,'classification',NULL,1);
INSERT INTO "nst_param" VALUES(1,16,'2',2.0,0);
INSERT INTO "nst_param" VALUES(1,17,'3',3.0,0);
INSERT INTO "nst_param" VALUES(1,18,'1',1.0,0);
INSERT INTO "nst_param" VALUES(2,19,'silu',NULL,1);
INSERT INTO "nst_param" VALUES(2,20,'none',NULL,1);
INSERT INTO "nst_param" VALUES(2,21,'32',32.0,0);
INSERT INTO "nst_param" VALUES(2,22,'0.1',NULL,1);
INSERT INTO "nst_param" VALUES(2,23,'32',32.0,0);
INSERT INTO "nst_param" VALUES(2,24,'false',0.0,0);
INSERT INTO "nst_param" VALUES(2,25,'1',1.0,0);
INSERT INTO "nst_param" VALUES(2,26,'0.1',0.1,0);
INSERT INTO "nst_param" VALUES(2,27,'0.0010517797702675885',1.05177977026758850964e-03,0);
INSERT INTO "nst_param" VALUES(2,28,'layer_norm',NULL,1);
INSERT INTO "nst_param" VALUES(2,29,'sgd',NULL,1);
INSERT INTO "nst_param" VALUES(2,30,'0.0005869876248101384',5.8698762481013838383e-04,0);
INSERT INTO "nst_param" VALUES(3,19,'gelu',NULL,1);
INSERT INTO "nst_param" VALUES(3,20,'shift',NULL,1);
INSERT INTO "nst_param" VALUES(3,21,'128',128.0,0);
INSERT INTO "nst_param" VALUES(3,22,'0.3',NULL,1);
INSERT INTO "nst_param" VALUES(3,23,'16',16.0,0);
INSERT INTO "nst_param" VALUES(3,24,'true',1.0,0);
INSERT INTO "nst_param" VALUES(3,25,'2',2.0,0);
INSERT INTO "nst_param" VALUES(3,26,'0.0',0.0,0);
INSERT INTO "nst_param" VALUES(3,27,'0.047333846967403385',4.73338469674033854306e-02,0);
INSERT INTO "nst_param" VALUES(3,28,'none',NULL,1);
INSERT INTO "nst_param" VALUES(3,29,'sgd',NULL,1);
INSERT INTO "nst_param" VALUES(3,30,'0.0001222864953067889',1.22286495306788897934e-04,0);
INSERT INTO "nst_param" VALUES(3,36,'128',128.0,0);
INSERT INTO "nst_param" VALUES(3,37,'true',1.0,0);
INSERT INTO "nst_param" VALUES(4,19,'silu',NULL,1);
INSERT INTO "nst_param" VALUES(4,20,'cutout',NULL,1);
INSERT INTO "nst_param" VALUES(4,21,'64',64.0,0);
INSERT INTO "nst_param" VALUES(4,22,'0',NULL,1);
INSERT INTO "nst_param" VALUES(4,23,'128',128.0,0);
INSERT INTO "nst_param" VALUES(4,24,'true',1.0,0);
INSERT INTO "nst_param" VALUES(4,25,'2',2.0,0);
INSERT INTO "nst_param" VALUES(4,26,'0.0',0.0,0);
INSERT INTO "nst_param" VALUES(4,27,'0.003028292180937933',3.02829218093793317567e-03,0);
INSERT INTO "nst_param" VALUES(4,28,'batch_norm',NULL,1);
INSERT INTO "nst_param" VALUES(4,29,'adamw',NULL,1);
INSERT INTO "nst_param" VALUES(4,30,'0.00036807390839636',0.00036807390839636,0);
INSERT INTO "nst_param" VALUES(4,36,'32',32.0,0);
INSERT INTO "nst_param" VALUES(4,37,'false',0.0,0);
INSERT INTO "nst_param" VALUES(5,46,'0',0.0,0);
INSERT INTO "nst_param" VALUES(5,47,'validate',NULL,1);
INSERT INTO "nst_param" VALUES(5,48,'01M8JAPA62M8ADVPHMK07F60DB',NULL,1);
INSERT INTO "nst_param" VALUES(6,46,'1',1.0,0);
INSERT INTO "nst_param" VALUES(6,47,'validate',NULL,1);
INSERT INTO "nst_param" VALUES(6,48,'01M8JAPA62M8ADVPHMK07F60DB',NULL,1);
INSERT INTO "nst_param" VALUES(7,46,'0',0.0,0);
INSERT INTO "nst_param" VALUES(7,47,'validate',NULL,1);
INSERT INTO "nst_param" VALUES(7,48,'01M8JAPA39EFQTQWPYTATBMY4Z',NULL,1);
INSERT INTO "nst_param" VALUES(8,46,'1',1.0,0);
INSERT INTO "nst_param" VALUES(8,47,'validate',NULL,1);
INSERT INTO "nst_param" VALUES(8,48,'01M8JAPA39EFQTQWPYTATBMY4Z',NULL,1);
INSERT INTO "nst_param" VALUES(9,5,'3',3.0,0);
INSERT INTO "nst_param" VALUES(9,46,'0',0.0,0);
INSERT INTO "nst_param" VALUES(9,47,'fit',NULL,1);
INSERT INTO "nst_param" VALUES(9,48,'01M8JAPA62M8ADVPHMK07F60DB',NULL,1);
INSERT INTO "nst_param" VALUES(10,5,'3',3.0,0);
INSERT INTO "nst_param" VALUES(10,46,'1',1.0,0);
INSERT INTO "nst_param" VALUES(10,47,'fit',NULL,1);
INSERT INTO "nst_param" VALUES(10,48,'01M8JAPA62M8ADVPHMK07F60DB',NULL,1);
INSERT INTO "nst_param" VALUES(11,47,'test',NULL,1);
INSERT INTO "nst_param" VALUES(11,49,'01M8JAPBWRZ5PM916FX4HT2H1N',NULL,1);
INSERT INTO "nst_param" VALUES(11,50,'1.0',1.0,0);
INSERT INTO "nst_param" VALUES(11,51,'01M8JAPBWRZ5PM916FX4HT2H1N',NULL,1);
INSERT INTO "nst_param" VALUES(11,52,'01M8JAPC0GYSDGJZQDHT8V4HFM',NULL,1);
INSERT INTO "nst_param" VALUES(11,53,'0.001',0.001,0);
INSERT INTO "nst_param" VALUES(11,54,'3.0',3.0,0);
INSERT INTO "nst_param" VALUES(11,55,'1.0',1.0,0);
INSERT INTO "nst_param" VALUES(11,56,'1.0',1.0,0);
INSERT INTO "nst_param" VALUES(11,57,'01M8JAPBWRZ5PM916FX4HT2H1N',NULL,1);
INSERT INTO "nst_param" VALUES(11,58,'01M8JAPC0GYSDGJZQDHT8V4HFM',NULL,1);
INSERT INTO "nst_param" VALUES(12,47,'model',NULL,1);
INSERT INTO "nst_param" VALUES(12,63,'01M8JAPBWRZ5PM916FX4HT2H1N',NULL,1);
INSERT INTO "nst_param" VALUES(12,64,'1.0',1.0,0);
INSERT INTO "nst_param" VALUES(13,2,'digits',NULL,1);
INSERT INTO "nst_param" VALUES(13,5,'2',2.0,0);
INSERT INTO "nst_param" VALUES(13,12,'0',0.0,0);
INSERT INTO "nst_param" VALUES(13,18,'2',2.0,0);
INSERT INTO "nst_param" VALUES(13,65,'0.5',0.5,0);
INSERT INTO "nst_param" VALUES(13,66,'8',8.0,0);
INSERT INTO "nst_param" VALUES(13,67,'3',3.0,0);
INSERT INTO "nst_param" VALUES(13,68,'1.0',1.0,0);
INSERT INTO "nst_param" VALUES(13,69,'1e-05',1.0e-05,0);
INSERT INTO "nst_param" VALUES(13,70,'false',0.0,0);
INSERT INTO "nst_param" VALUES(13,71,'2',2.0,0);
INSERT INTO "nst_param" VALUES(13,72,'plain',NULL,1);
INSERT INTO "nst_param" VALUES(13,73,'0',0.0,0);
INSERT INTO "nst_param" VALUES(14,5,'1',1.0,0);
INSERT INTO "nst_param" VALUES(14,17,'1',1.0,0);
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
INSERT INTO "nst_round" VALUES(13,1,'completed',3,0,69510,5523,255480,1.11901899799704551696e-03,1.24237752999761141836e-01,1795911531886391);
INSERT INTO "nst_round" VALUES(13,2,'completed',3,0,69510,92403,255480,1.02179300301941111683e-03,1.28515960997901856899e-01,1795911532055014);
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
INSERT INTO "nst_run" VALUES(1,'01M8JAP8SSBTGJ281VX8Y970PZ',1,'search','completed',1,NULL,'digits',0,'{"data":"digits","target":null,"missing":"refuse","task":"classification","trials":3,"seed":0,"space":"mlp","strategy":"predictor","objectives":null,"constraints":[],"epochs":3,"scheduler":"asha","fidelity":"epochs","evaluate":"training","zero_cost":null,"folds":"auto","workers":1,"device":"cpu","trial_memory":null,"trial_seconds":null,"seconds":null,"cpu_seconds":null,"upload_bytes":null,"stop_at":null,"stop_after":null,"warm_start":[],"top":2,"repeats":2,"ensemble":false,"control":"start","control_of":null}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911525179082,1795911531010092,NULL,NULL);
INSERT INTO "nst_run" VALUES(2,'01M8JAP95G00T9PXF79Q7KYEQP',NULL,'trial','completed',1,1,'digits',8867601057144543979,'{}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911525551340,1795911526500167,NULL,NULL);
INSERT INTO "nst_run" VALUES(3,'01M8JAPA39EFQTQWPYTATBMY4Z',NULL,'trial','completed',1,1,'digits',357969636515125329,'{}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911526505541,1795911526591034,NULL,NULL);
INSERT INTO "nst_run" VALUES(4,'01M8JAPA62M8ADVPHMK07F60DB',NULL,'trial','completed',1,1,'digits',1134459820640780124,'{}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911526593962,1795911527972344,NULL,NULL);
INSERT INTO "nst_run" VALUES(5,'01M8JAPBJRE25S75VD1VW7GC36',NULL,'retrain','completed',1,1,'digits',3610895241450063243,'{"phase":"validate","trial":"01M8JAPA62M8ADVPHMK07F60DB","member":0}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911528024322,1795911528106041,NULL,NULL);
INSERT INTO "nst_run" VALUES(6,'01M8JAPBNZ8EWQNRSC4S1CP2P4',NULL,'retrain','completed',1,1,'digits',3985662445467725830,'{"phase":"validate","trial":"01M8JAPA62M8ADVPHMK07F60DB","member":1}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911528127795,1795911528205451,NULL,NULL);
INSERT INTO "nst_run" VALUES(7,'01M8JAPBRQTQHFS41236DRD1XT',NULL,'retrain','completed',1,1,'digits',3966276870481703034,'{"phase":"validate","trial":"01M8JAPA39EFQTQWPYTATBMY4Z","member":0}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911528215392,1795911528273713,NULL,NULL);
INSERT INTO "nst_run" VALUES(8,'01M8JAPBTQJ65Q1R1W064EC1TB',NULL,'retrain','completed',1,1,'digits',9219448030167551484,'{"phase":"validate","trial":"01M8JAPA39EFQTQWPYTATBMY4Z","member":1}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911528279651,1795911528333455,NULL,NULL);
INSERT INTO "nst_run" VALUES(9,'01M8JAPBWRZ5PM916FX4HT2H1N',NULL,'retrain','completed',1,1,'digits',3610895241450063243,'{"phase":"fit","trial":"01M8JAPA62M8ADVPHMK07F60DB","member":0,"epochs":3}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911528344595,1795911528448851,NULL,NULL);
INSERT INTO "nst_run" VALUES(10,'01M8JAPC0GYSDGJZQDHT8V4HFM',NULL,'retrain','completed',1,1,'digits',3985662445467725830,'{"phase":"fit","trial":"01M8JAPA62M8ADVPHMK07F60DB","member":1,"epochs":3}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911528464270,1795911528569923,NULL,NULL);
INSERT INTO "nst_run" VALUES(11,'01M8JAPE8E50AX54DZQWVEA2CR',NULL,'eval','completed',1,1,'digits',5395224432541360762,'{"phase":"test","model":[{"run":"01M8JAPBWRZ5PM916FX4HT2H1N","weight":1.0}],"winner":["01M8JAPBWRZ5PM916FX4HT2H1N","01M8JAPC0GYSDGJZQDHT8V4HFM"],"random search":["01M8JAPBWRZ5PM916FX4HT2H1N","01M8JAPC0GYSDGJZQDHT8V4HFM"],"references":{"constant":{},"logistic":{"c":1.0},"neighbours":{"neighbours":1.0},"kernel":{"gamma":3.0,"alpha":0.001}}}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911530766612,1795911530908312,NULL,NULL);
INSERT INTO "nst_run" VALUES(12,'01M8JAPEDAB6P7RSE0TAN4QCP8',NULL,'retrain','completed',1,1,'digits',3610895241450063243,'{"phase":"model","networks":[{"run":"01M8JAPBWRZ5PM916FX4HT2H1N","weight":1.0}]}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911530922278,1795911530976729,NULL,NULL);
INSERT INTO "nst_run" VALUES(13,'01M8JAPF8BWXV0EKTFE2BGZZ7R',2,'federated','completed',1,NULL,'digits',0,'{"data":"digits","target":null,"clients":3,"rounds":2,"seed":0,"split_seed":0,"alpha":0.5,"scheme":"plain","bits":8,"epsilon":null,"delta":1e-05,"clip":1.0,"masked":false,"epochs":2,"workers":2}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911531787749,1795911532391171,NULL,NULL);
INSERT INTO "nst_run" VALUES(14,'01M8JAPFXQ0MFZNSMBQW6P4K4Z',3,'search','failed',1,NULL,'left',1,'{"epochs":1,"trials":1}',1,'vm',6684,'e82d386b-9e49-4aec-8475-13116a4a749a/3576178',1795911532472046,1795911532847270,NULL,'boom');
CREATE TABLE nst_run_artifact (
	run_id INTEGER NOT NULL, 
	role TEXT NOT NULL, 
	name TEXT NOT NULL, 
	artifact_id INTEGER NOT NULL, 
	CONSTRAINT pk_nst_run_artifact PRIMARY KEY (run_id, role, name), 
	CONSTRAINT fk_nst_run_artifact_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_run_artifact_artifact_id FOREIGN KEY(artifact_id) REFERENCES nst_artifact (id)
);
INSERT INTO "nst_run_artifact" VALUES(5,'predictions','predictions.npy',1);
INSERT INTO "nst_run_artifact" VALUES(6,'predictions','predictions.npy',2);
INSERT INTO "nst_run_artifact" VALUES(7,'predictions','predictions.npy',3);
INSERT INTO "nst_run_artifact" VALUES(8,'predictions','predictions.npy',4);
INSERT INTO "nst_run_artifact" VALUES(9,'model','model.json',5);
INSERT INTO "nst_run_artifact" VALUES(9,'model','weights.safetensors',6);
INSERT INTO "nst_run_artifact" VALUES(10,'model','model.json',7);
INSERT INTO "nst_run_artifact" VALUES(10,'model','weights.safetensors',8);
INSERT INTO "nst_run_artifact" VALUES(11,'report','report.json',9);
INSERT INTO "nst_run_artifact" VALUES(12,'model','model.json',10);
INSERT INTO "nst_run_artifact" VALUES(12,'model','weights.safetensors',6);
INSERT INTO "nst_run_artifact" VALUES(1,'model','model.json',10);
INSERT INTO "nst_run_artifact" VALUES(1,'model','weights.safetensors',6);
INSERT INTO "nst_run_artifact" VALUES(13,'model','model.json',11);
INSERT INTO "nst_run_artifact" VALUES(13,'model','weights.safetensors',12);
CREATE TABLE nst_run_dataset (
	run_id INTEGER NOT NULL, 
	role TEXT NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	CONSTRAINT pk_nst_run_dataset PRIMARY KEY (run_id, role), 
	CONSTRAINT fk_nst_run_dataset_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_run_dataset_dataset_id FOREIGN KEY(dataset_id) REFERENCES nst_dataset (id)
);
INSERT INTO "nst_run_dataset" VALUES(1,'data',1);
INSERT INTO "nst_run_dataset" VALUES(13,'data',1);
INSERT INTO "nst_run_dataset" VALUES(13,'site/site-1',2);
INSERT INTO "nst_run_dataset" VALUES(13,'site/site-2',3);
INSERT INTO "nst_run_dataset" VALUES(13,'site/site-3',4);
INSERT INTO "nst_run_dataset" VALUES(14,'data',5);
CREATE TABLE nst_search (
	run_id INTEGER NOT NULL, 
	space TEXT NOT NULL, 
	space_sha256 CHAR(64) NOT NULL, 
	sampler TEXT NOT NULL, 
	pruner TEXT NOT NULL, 
	objectives JSON NOT NULL, 
	trials INTEGER NOT NULL, 
	study_name TEXT NOT NULL, active_us INTEGER, heartbeat_us INTEGER, alive_until_us INTEGER, stop_us INTEGER, space_document JSON, 
	CONSTRAINT pk_nst_search PRIMARY KEY (run_id), 
	CONSTRAINT fk_nst_search_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT uq_nst_search_study_name UNIQUE (study_name)
);
INSERT INTO "nst_search" VALUES(1,'mlp','c6f2bd9b0f99a9bd575c348ae7fc2de87317bc9191d166a88cc31c43a05a3d31','predictor','asha','[["val_accuracy","maximize"]]',3,'nasturtium-01M8JAP8SSBTGJ281VX8Y970PZ',2484136,1795911531014277,1795911561014277,NULL,'{"format":"nasturtium.space","version":1,"name":"mlp","template":[[{"layer":"flatten"}],{"repeat":[1,4],"node":[{"residual":[{"layer":"linear","out_features":{"choice":[16,32,64,128,256]}},{"choice":{"none":[],"batch_norm":{"layer":"batch_norm"},"layer_norm":{"layer":"layer_norm"}},"name":"normalisation"}],"skip":"optional"},{"layer":"activation","function":{"choice":["relu","gelu","silu"],"name":"activation"}},{"choice":{"0":[],"0.1":{"layer":"dropout","rate":0.1},"0.3":{"layer":"dropout","rate":0.3}},"name":"dropout"}],"name":"hidden"},{"layer":"linear","out_features":{"outputs":true}}],"hyperparameters":{"optimizer":{"choice":["adamw","sgd"]},"learning_rate":{"float":[0.0005,0.05],"log":true},"weight_decay":{"float":[1e-05,0.1],"log":true},"batch_size":{"choice":[32,64,128]},"label_smoothing":{"choice":[0.0,0.1]},"augmentation":{"choice":["none","shift","cutout","mixup"]}},"total":true}');
INSERT INTO "nst_search" VALUES(14,'mlp','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd','tpe','median','[["val_accuracy","maximize"]]',1,'nasturtium-01M8JAPFXQ0MFZNSMBQW6P4K4Z',NULL,NULL,NULL,NULL,NULL);
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
	optuna_number INTEGER, flat JSON, cause TEXT, cpu_seconds DOUBLE, peak_memory_bytes INTEGER, rung INTEGER, wall_seconds DOUBLE, transferred_bytes INTEGER, 
	CONSTRAINT pk_nst_trial PRIMARY KEY (run_id), 
	CONSTRAINT uq_nst_trial_search_id_number_attempt UNIQUE (search_id, number, attempt), 
	CONSTRAINT fk_nst_trial_run_id FOREIGN KEY(run_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_trial_search_id FOREIGN KEY(search_id) REFERENCES nst_run (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nst_trial_architecture_id FOREIGN KEY(architecture_id) REFERENCES nst_architecture (id)
);
INSERT INTO "nst_trial" VALUES(2,1,0,1,1,'{"optimizer":"sgd","learning_rate":0.0010517797702675885,"weight_decay":0.0005869876248101384,"batch_size":32,"label_smoothing":0.1,"augmentation":"none"}',NULL,'{"architecture/hidden/count":1,"architecture/hidden/0/residual/skip":false,"architecture/hidden/0/residual/linear/out_features":32,"architecture/normalisation":"layer_norm","architecture/activation":"silu","architecture/dropout":"0.1","architecture/hidden/1/residual/skip":true,"architecture/hidden/1/residual/linear/out_features":256,"architecture/hidden/2/residual/skip":true,"architecture/hidden/2/residual/linear/out_features":128,"architecture/hidden/3/residual/skip":false,"architecture/hidden/3/residual/linear/out_features":16,"training/optimizer":"sgd","training/learning_rate":0.0010517797702675885,"training/weight_decay":0.0005869876248101384,"training/batch_size":32,"training/label_smoothing":0.1,"training/augmentation":"none"}',NULL,0.44809,56299520,3,6.46919869977864436805e-02,NULL);
INSERT INTO "nst_trial" VALUES(3,1,1,1,2,'{"optimizer":"sgd","learning_rate":0.047333846967403385,"weight_decay":0.0001222864953067889,"batch_size":128,"label_smoothing":0.0,"augmentation":"shift"}',NULL,'{"architecture/hidden/count":2,"architecture/hidden/0/residual/skip":true,"architecture/hidden/0/residual/linear/out_features":16,"architecture/normalisation":"none","architecture/activation":"gelu","architecture/dropout":"0.3","architecture/hidden/1/residual/skip":true,"architecture/hidden/1/residual/linear/out_features":128,"architecture/hidden/2/residual/skip":true,"architecture/hidden/2/residual/linear/out_features":64,"architecture/hidden/3/residual/skip":false,"architecture/hidden/3/residual/linear/out_features":256,"training/optimizer":"sgd","training/learning_rate":0.047333846967403385,"training/weight_decay":0.0001222864953067889,"training/batch_size":128,"training/label_smoothing":0.0,"training/augmentation":"shift"}',NULL,4.70927999999999957747e-01,57135104,3,6.80422120058210566639e-02,NULL);
INSERT INTO "nst_trial" VALUES(4,1,2,1,3,'{"optimizer":"adamw","learning_rate":0.003028292180937933,"weight_decay":0.00036807390839636,"batch_size":64,"label_smoothing":0.0,"augmentation":"cutout"}',NULL,'{"architecture/hidden/count":2,"architecture/hidden/0/residual/skip":true,"architecture/hidden/0/residual/linear/out_features":128,"architecture/normalisation":"batch_norm","architecture/activation":"silu","architecture/dropout":"0","architecture/hidden/1/residual/skip":false,"architecture/hidden/1/residual/linear/out_features":32,"architecture/hidden/2/residual/skip":true,"architecture/hidden/2/residual/linear/out_features":64,"architecture/hidden/3/residual/skip":true,"architecture/hidden/3/residual/linear/out_features":32,"training/optimizer":"adamw","training/learning_rate":0.003028292180937933,"training/weight_decay":0.00036807390839636,"training/batch_size":64,"training/label_smoothing":0.0,"training/augmentation":"cutout"}',NULL,0.515875,57081856,3,7.94187909996253438293e-02,NULL);
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'nasturtium-01M8JAP8SSBTGJ281VX8Y970PZ');
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
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["val_accuracy"]');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'uid','"01M8JAP8SSBTGJ281VX8Y970PZ"');
INSERT INTO "study_user_attributes" VALUES(2,1,'space','"mlp"');
INSERT INTO "study_user_attributes" VALUES(3,1,'strategy','"predictor"');
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
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,3.05785123966942129491e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,1,2,3.60881542699724500167e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,1,3,3.80165289256198357659e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,2,1,3.00275482093663892424e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,2,2,3.66391184573002737234e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,2,3,4.24242424242424254199e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,3,1,8.15426997245179085993e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(8,3,2,9.11845730027548206919e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,3,3,0.928374655647383,'FINITE');
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
INSERT INTO "trial_params" VALUES(2,1,'architecture/hidden/0/residual/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(3,1,'architecture/hidden/0/residual/linear/out_features',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(4,1,'architecture/normalisation',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO "trial_params" VALUES(5,1,'architecture/activation',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO "trial_params" VALUES(6,1,'architecture/dropout',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["0", "0.1", "0.3"]}}');
INSERT INTO "trial_params" VALUES(7,1,'architecture/hidden/1/residual/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(8,1,'architecture/hidden/1/residual/linear/out_features',4.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(9,1,'architecture/hidden/2/residual/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(10,1,'architecture/hidden/2/residual/linear/out_features',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(11,1,'architecture/hidden/3/residual/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(12,1,'architecture/hidden/3/residual/linear/out_features',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(13,1,'training/optimizer',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "sgd"]}}');
INSERT INTO "trial_params" VALUES(14,1,'training/learning_rate',1.05177977026758850964e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.05, "log": true}}');
INSERT INTO "trial_params" VALUES(15,1,'training/weight_decay',5.8698762481013838383e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(16,1,'training/batch_size',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [32, 64, 128]}}');
INSERT INTO "trial_params" VALUES(17,1,'training/label_smoothing',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1]}}');
INSERT INTO "trial_params" VALUES(18,1,'training/augmentation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "shift", "cutout", "mixup"]}}');
INSERT INTO "trial_params" VALUES(19,2,'architecture/hidden/count',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(20,2,'architecture/hidden/0/residual/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(21,2,'architecture/hidden/0/residual/linear/out_features',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(22,2,'architecture/normalisation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO "trial_params" VALUES(23,2,'architecture/activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO "trial_params" VALUES(24,2,'architecture/dropout',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["0", "0.1", "0.3"]}}');
INSERT INTO "trial_params" VALUES(25,2,'architecture/hidden/1/residual/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(26,2,'architecture/hidden/1/residual/linear/out_features',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(27,2,'architecture/hidden/2/residual/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(28,2,'architecture/hidden/2/residual/linear/out_features',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(29,2,'architecture/hidden/3/residual/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(30,2,'architecture/hidden/3/residual/linear/out_features',4.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(31,2,'training/optimizer',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "sgd"]}}');
INSERT INTO "trial_params" VALUES(32,2,'training/learning_rate',4.73338469674033854306e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.05, "log": true}}');
INSERT INTO "trial_params" VALUES(33,2,'training/weight_decay',1.22286495306788897934e-04,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(34,2,'training/batch_size',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [32, 64, 128]}}');
INSERT INTO "trial_params" VALUES(35,2,'training/label_smoothing',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1]}}');
INSERT INTO "trial_params" VALUES(36,2,'training/augmentation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "shift", "cutout", "mixup"]}}');
INSERT INTO "trial_params" VALUES(37,3,'architecture/hidden/count',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(38,3,'architecture/hidden/0/residual/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(39,3,'architecture/hidden/0/residual/linear/out_features',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(40,3,'architecture/normalisation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "batch_norm", "layer_norm"]}}');
INSERT INTO "trial_params" VALUES(41,3,'architecture/activation',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu", "silu"]}}');
INSERT INTO "trial_params" VALUES(42,3,'architecture/dropout',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["0", "0.1", "0.3"]}}');
INSERT INTO "trial_params" VALUES(43,3,'architecture/hidden/1/residual/skip',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(44,3,'architecture/hidden/1/residual/linear/out_features',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(45,3,'architecture/hidden/2/residual/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(46,3,'architecture/hidden/2/residual/linear/out_features',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(47,3,'architecture/hidden/3/residual/skip',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(48,3,'architecture/hidden/3/residual/linear/out_features',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [16, 32, 64, 128, 256]}}');
INSERT INTO "trial_params" VALUES(49,3,'training/optimizer',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "sgd"]}}');
INSERT INTO "trial_params" VALUES(50,3,'training/learning_rate',3.02829218093793317567e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.05, "log": true}}');
INSERT INTO "trial_params" VALUES(51,3,'training/weight_decay',0.00036807390839636,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(52,3,'training/batch_size',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [32, 64, 128]}}');
INSERT INTO "trial_params" VALUES(53,3,'training/label_smoothing',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0.0, 0.1]}}');
INSERT INTO "trial_params" VALUES(54,3,'training/augmentation',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "shift", "cutout", "mixup"]}}');
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
INSERT INTO "trial_user_attributes" VALUES(1,1,'uid','"01M8JAP95G00T9PXF79Q7KYEQP"');
INSERT INTO "trial_user_attributes" VALUES(2,1,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(3,1,'architecture','"0bdfa7ef2b4dc0574eea731960e56e49ca60ebe27c3f1556b5f17f0367f7c6b3"');
INSERT INTO "trial_user_attributes" VALUES(4,1,'parameters','2474');
INSERT INTO "trial_user_attributes" VALUES(5,1,'macs','2432');
INSERT INTO "trial_user_attributes" VALUES(6,1,'metrics','{"best_epoch": 3.0, "buffers": 0.0, "macs": 2432.0, "model_bytes": 9896.0, "parameters": 2474.0, "peak_activation_bytes": 512.0, "step/val_accuracy": 0.38016528925619836, "train_loss": 2.0456579809991, "upload_bytes": 6922.0, "val_accuracy": 0.38016528925619836, "val_auroc": 0.7405601550294678, "val_f1": 0.31551266842940295, "val_loss": 1.9651879002370012}');
INSERT INTO "trial_user_attributes" VALUES(7,1,'epochs','3');
INSERT INTO "trial_user_attributes" VALUES(8,2,'uid','"01M8JAPA39EFQTQWPYTATBMY4Z"');
INSERT INTO "trial_user_attributes" VALUES(9,2,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(10,2,'architecture','"19e12b49b232aaa8f1cb50e9ed3809e4fb67588438a21705dd1d54d36912a0d9"');
INSERT INTO "trial_user_attributes" VALUES(11,2,'parameters','7578');
INSERT INTO "trial_user_attributes" VALUES(12,2,'macs','7424');
INSERT INTO "trial_user_attributes" VALUES(13,2,'metrics','{"best_epoch": 3.0, "buffers": 0.0, "macs": 7424.0, "model_bytes": 30312.0, "parameters": 7578.0, "peak_activation_bytes": 1536.0, "step/val_accuracy": 0.42424242424242425, "train_loss": 2.03333009069211, "upload_bytes": 14090.0, "val_accuracy": 0.42424242424242425, "val_auroc": 0.7565598795793752, "val_f1": 0.35828925595780214, "val_loss": 1.8165221421201647}');
INSERT INTO "trial_user_attributes" VALUES(14,2,'epochs','3');
INSERT INTO "trial_user_attributes" VALUES(15,3,'uid','"01M8JAPA62M8ADVPHMK07F60DB"');
INSERT INTO "trial_user_attributes" VALUES(16,3,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(17,3,'architecture','"9f58c11a2061456c6047457ec62af81f5212debd81fc121202b5e4c77534177c"');
INSERT INTO "trial_user_attributes" VALUES(18,3,'parameters','21290');
INSERT INTO "trial_user_attributes" VALUES(19,3,'macs','20960');
INSERT INTO "trial_user_attributes" VALUES(20,3,'metrics','{"best_epoch": 3.0, "buffers": 320.0, "macs": 20960.0, "model_bytes": 86440.0, "parameters": 21290.0, "peak_activation_bytes": 1536.0, "step/val_accuracy": 0.928374655647383, "train_loss": 0.5761813339785995, "upload_bytes": 41866.0, "val_accuracy": 0.928374655647383, "val_auroc": 0.9943796976656951, "val_f1": 0.9269971508475029, "val_loss": 0.5211604939028674}');
INSERT INTO "trial_user_attributes" VALUES(21,3,'epochs','3');
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
INSERT INTO "trial_values" VALUES(1,1,0,3.80165289256198357659e-01,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,4.24242424242424254199e-01,'FINITE');
INSERT INTO "trial_values" VALUES(3,3,0,0.928374655647383,'FINITE');
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
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-29 00:18:45.551340','2026-11-29 00:18:46.500167');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-29 00:18:46.505541','2026-11-29 00:18:46.591034');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-29 00:18:46.593962','2026-11-29 00:18:47.972344');
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
CREATE INDEX ix_nst_run_parent_id ON nst_run (parent_id);
CREATE INDEX ix_nst_run_kind_started_us ON nst_run (kind, started_us);
CREATE INDEX ix_nst_run_experiment_id ON nst_run (experiment_id);
CREATE INDEX ix_nst_run_deleted_us ON nst_run (deleted_us) WHERE deleted_us IS NOT NULL;
CREATE INDEX ix_nst_run_dataset_dataset_id ON nst_run_dataset (dataset_id);
CREATE INDEX ix_nst_trial_architecture_id ON nst_trial (architecture_id);
CREATE INDEX ix_nst_param_name_id_text_run_id ON nst_param (name_id, text, run_id);
CREATE INDEX ix_nst_param_name_id_number_run_id ON nst_param (name_id, number, run_id);
CREATE INDEX ix_nst_tag_name_id_value_run_id ON nst_tag (name_id, value, run_id);
CREATE INDEX ix_nst_note_run_id ON nst_note (run_id);
CREATE INDEX ix_nst_metric_name_id_max_run_id ON nst_metric (name_id, max, run_id);
CREATE INDEX ix_nst_metric_name_id_value_run_id ON nst_metric (name_id, value, run_id);
CREATE INDEX ix_nst_metric_name_id_min_run_id ON nst_metric (name_id, min, run_id);
CREATE INDEX ix_nst_event_run_id ON nst_event (run_id);
CREATE INDEX ix_nst_run_artifact_artifact_id ON nst_run_artifact (artifact_id);
CREATE INDEX ix_nst_model_version_artifact_id ON nst_model_version (artifact_id);
CREATE INDEX ix_nst_model_version_run_id ON nst_model_version (run_id);
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
CREATE INDEX ix_nst_lease_run_id ON nst_lease (run_id);
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('nst_run',14);
INSERT INTO "sqlite_sequence" VALUES('nst_event',32);
COMMIT;
