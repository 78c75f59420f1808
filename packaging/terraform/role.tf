# The output of this command, with var.name as the name of the role and the instance profile:
# ip-lockdown trust-policy build --name locked --with-guard --format terraform
resource "aws_iam_role" "locked" {
  name = var.name
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = "sts:AssumeRole"
        Principal = {
          Service = "ec2.amazonaws.com"
        }
      },
    ]
  })
}

resource "aws_iam_role_policy" "locked_imdsv2_guard" {
  name = "imdsv2-guard"
  role = aws_iam_role.locked.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ImdsV2CredentialsOnly"
        Effect   = "Deny"
        Action   = "*"
        Resource = "*"
        Condition = {
          NumericLessThan = {
            "ec2:RoleDelivery" = "2.0"
          }
        }
      },
    ]
  })
}

resource "aws_iam_instance_profile" "locked" {
  name = var.name
  role = aws_iam_role.locked.name
}
